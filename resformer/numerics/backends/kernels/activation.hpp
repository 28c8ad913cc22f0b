// Activations of an FFN and their slopes, a vector at a time.
#pragma once

#include "vector.hpp"

enum Activation : long { RELU, GELU, SILU, RELU2 };

// 1 / (1 + e^-x)
template <class T, int L> inline Vector<T, L> logistic(Vector<T, L> x) {
    const Vector<T, L> power = exponential<L>(x < 0 ? x : -x);
    const Vector<T, L> share = 1 / (1 + power);
    return x < 0 ? power * share : share;
}

// The normal distribution function. Float: Abramowitz and Stegun 7.1.26, within 8e-8.
template <int L> inline Vector<float, L> normal_share(Vector<float, L> x) {
    const Vector<float, L> away = (x < 0 ? -x : x) * 0.70710678118654752f;
    const Vector<float, L> t = 1 / (1 + 0.3275911f * away);
    Vector<float, L> tail = t * 1.061405429f - 1.453152027f;
    tail = tail * t + 1.421413741f;
    tail = tail * t - 0.284496736f;
    tail = tail * t + 0.254829592f;
    tail = tail * t * exponential<L>(-away * away) * 0.5f;
    return x < 0 ? tail : 1 - tail;
}

template <int L> inline Vector<double, L> normal_share(Vector<double, L> x) {
    for (int i = 0; i < L; i++) x[i] = 0.5 * std::erfc(-x[i] * 0.70710678118654752440);
    return x;
}

template <class T, int L> inline Vector<T, L> normal_density(Vector<T, L> x) {
    return exponential<L>(x * x * T(-0.5)) * T(0.39894228040143267794);
}

// Value of an activation; where `slope` is not null, its slope, too. NaN stays NaN.
template <class T, int L>
inline Vector<T, L> activated(Activation kind, Vector<T, L> x, Vector<T, L>* slope = nullptr) {
    const Vector<T, L> zero{};
    if (kind == GELU) {
        const Vector<T, L> share = normal_share<L>(x);
        if (slope) *slope = share + x * normal_density<T, L>(x);
        return x * share;
    }
    if (kind == SILU) {
        const Vector<T, L> share = logistic<T, L>(x);
        if (slope) *slope = share * (1 + x * (1 - share));
        return x * share;
    }
    const Vector<T, L> positive = x < 0 ? zero : x;
    if (kind == RELU2) {
        if (slope) *slope = 2 * positive;
        return positive * positive;
    }
    if (slope) *slope = x <= 0 ? zero : zero + 1;
    return positive;
}
