// Vectors of L numbers, in GCC's and Clang's own notation: the same code for every width of register.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

template <class T, int L> struct VectorOf {
    typedef T type __attribute__((vector_size(L * sizeof(T))));
};
template <class T, int L> using Vector = typename VectorOf<T, L>::type;

// Whole numbers of the size of T, as comparisons of its vectors give them.
template <class T> using Whole = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

// As long as a register, or two of the shortest: longer ones would lie in memory.
#if defined(__AVX512F__)
constexpr int BYTES = 64;
#else
constexpr int BYTES = 32;
#endif
template <class T> constexpr int LANES = BYTES / sizeof(T);

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

// Half a vector from each of two places.
template <int L, class T> inline Vector<T, L> load_halves(const T* first, const T* second) {
    Vector<T, L> v;
    std::memcpy(&v, first, sizeof v / 2);
    std::memcpy((T*)&v + L / 2, second, sizeof v / 2);
    return v;
}

template <class V, class T> inline void store(T* to, V v) { std::memcpy(to, &v, sizeof v); }

template <class V, class T> inline void store(T* to, V v, long count) {
    constexpr long L = sizeof(V) / sizeof(T);
    if (count >= L) return store(to, v);
    for (long i = 0; i < count; i++) to[i] = v[i];
}

// Adds to the first `count` numbers.
template <class V, class T> inline void add_to(T* to, V v, long count) {
    constexpr long L = sizeof(V) / sizeof(T);
    store(to, load<L>(to, count) + v, count);
}

template <class V, class T> inline void store_halves(T* first, T* second, V v) {
    std::memcpy(first, &v, sizeof v / 2);
    std::memcpy(second, (T*)&v + sizeof v / sizeof(T) / 2, sizeof v / 2);
}

// The larger of each pair; the second if one is NaN.
template <class V> inline V larger(V a, V b) { return a > b ? a : b; }

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

// Lanes of a and b by number, those of b behind those of a.
template <class V, int... I> inline V lanes_of(V a, V b, std::integer_sequence<int, I...>) {
#if defined(__clang__) || __GNUC__ >= 12
    return __builtin_shufflevector(a, b, I...);
#else
    typedef Whole<std::decay_t<decltype(a[0])>> Index __attribute__((vector_size(sizeof(V))));
    return __builtin_shuffle(a, b, Index{I...});
#endif
}

// Lane l of the first: that of a where bit `half` of l is 0, else lane l - half of b; of the second: lane l + half of a,
// else lane l of b.
template <int half, class V, int... l> inline void exchange(V& a, V& b, std::integer_sequence<int, l...>) {
    constexpr int L = sizeof...(l);
    const V low = lanes_of(a, b, std::integer_sequence<int, (l & half ? L + l - half : l)...>{});
    b = lanes_of(a, b, std::integer_sequence<int, (l & half ? L + l : l + half)...>{});
    a = low;
}

// Turns N rows of N lanes into columns, or two such squares side by side (Eklundh 1972).
template <int N, int half = N / 2, class V> inline __attribute__((always_inline)) void transpose(V (&rows)[N]) {
    constexpr int L = sizeof(V) / sizeof(rows[0][0]);
#pragma GCC unroll 16
    for (int i = 0; i < N; i++)
        if (!(i & half)) exchange<half>(rows[i], rows[i + half], std::make_integer_sequence<int, L>{});
    if constexpr (half > 1) transpose<N, half / 2>(rows);
}

// Lane i: the sum of the lanes of vector i, half on half. Overwrites the vectors.
template <int L, int half = L / 2, class V> inline __attribute__((always_inline)) V sums(V (&rows)[L]) {
#pragma GCC unroll 16
    for (int i = 0; i < half; i++) {
        exchange<half>(rows[i], rows[i + half], std::make_integer_sequence<int, L>{});
        rows[i] += rows[i + half];
    }
    if constexpr (half > 1) return sums<L, half / 2>(rows);
    return rows[0];
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
