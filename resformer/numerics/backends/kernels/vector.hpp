// Vectors of L numbers, in GCC's and Clang's own notation: the same code for every width of register.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

template <class T, int L> struct VectorOf {
    typedef T type __attribute__((vector_size(L * sizeof(T))));
};
template <class T, int L> using Vector = typename VectorOf<T, L>::type;

// Whole numbers of the size of T, as comparisons of its vectors give them.
template <class T> using Whole = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

// Always 64 bytes, on narrower machines in several registers: so the order of every sum is the same everywhere.
template <class T> constexpr int LANES = 64 / sizeof(T);

// Whole vectors for rows of so many columns, or half ones where half of a whole one would be idle.
template <class T, class Do> inline void with_lanes(long columns, Do&& what) {
    if (columns <= LANES<T> / 2)
        what(std::integral_constant<int, LANES<T> / 2>{});
    else
        what(std::integral_constant<int, LANES<T>>{});
}

template <int L, class T> inline Vector<T, L> load(const T* from) {
    Vector<T, L> v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

// The first `count` lanes; the others are 0.
template <int L, class T> inline Vector<T, L> load(const T* from, long count) {
    if (count >= L) return load<L>(from);
    Vector<T, L> v{};
    for (long i = 0; i < count; i++) v[i] = from[i];
    return v;
}

template <class V, class T> inline void store(T* to, V v) { std::memcpy(to, &v, sizeof v); }

template <class V, class T> inline void store(T* to, V v, long count) {
    constexpr long L = sizeof(V) / sizeof(T);
    if (count >= L) return store(to, v);
    for (long i = 0; i < count; i++) to[i] = v[i];
}

// 0, 1, 2, ...
template <class T, int L> inline Vector<Whole<T>, L> counting() {
    Vector<Whole<T>, L> v;
    for (int i = 0; i < L; i++) v[i] = i;
    return v;
}

// The sum of the lanes, half on half.
template <class T, int L> inline T sum(Vector<T, L> v) {
    if constexpr (L == 2) {
        return v[0] + v[1];
    } else {
        Vector<T, L / 2> halves[2];
        std::memcpy(halves, &v, sizeof v);
        return sum<T, L / 2>(halves[0] + halves[1]);
    }
}

// e^x for x <= 0, within 2 units in the last place of float; below -87 it stays at e^-87. NaN stays NaN.
// Cody and Waite's reduction x = n·ln 2 + r and the polynomial of the Cephes library (S. Moshier).
template <int L> inline Vector<float, L> exponential(Vector<float, L> x) {
    typedef Vector<int32_t, L> Bits;
    const float shift = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest whole number in the low bits
    x = x < -87.0f ? Vector<float, L>{} - 87.0f : x;
    Vector<float, L> shifted = x * 1.44269504088896341f + shift;
    Vector<float, L> n = shifted - shift;
    Vector<float, L> r = x - n * 0.693359375f - n * -2.12194440e-4f;
    Vector<float, L> p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    Bits exponent;
    std::memcpy(&exponent, &shifted, sizeof exponent);
    exponent = (exponent << 23) + 0x3f800000;
    Vector<float, L> power;
    std::memcpy(&power, &exponent, sizeof power);
    return p * power;
}

template <int L> inline Vector<double, L> exponential(Vector<double, L> x) {
    for (int i = 0; i < L; i++) x[i] = std::exp(x[i]);
    return x;
}
