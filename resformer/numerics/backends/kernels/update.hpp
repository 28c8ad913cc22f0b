// Gradient clipping (Pascanu et al. 2013, arXiv 1211.5063, algorithm 1), and AdamW (Loshchilov & Hutter 2019, arXiv
// 1711.05101, algorithm 2), of one member.
#pragma once

#include "vector.hpp"

// Scales the gradient to a norm of at most `most`; returns the norm before.
template <class T> T clip(long count, T* gradient, T most) {
    constexpr int L = LANES<T>;
    Vector<T, L> squares[4] = {};
    for (long i = 0; i < count; i += 4 * L)
        for (int part = 0; part < 4 && i + part * L < count; part++) {
            Vector<T, L> slope = load<L>(gradient + i + part * L, count - i - part * L);
            squares[part] += slope * slope;
        }
    const T norm = std::sqrt(sum<T, L>(squares[0] + squares[1] + (squares[2] + squares[3])));
    const T ratio = most / (norm + T(1e-6)), keep = ratio > 1 ? T(1) : ratio;  // NaN stays NaN
    if (!std::isinf(most) && keep != 1)
        for (long i = 0; i < count; i += L)
            store(gradient + i, load<L>(gradient + i, count - i) * keep, count - i);
    return norm;
}

// Factors of one step, the same for all members but for the learning rate.
template <class T> struct Step {
    T beta1, beta2, epsilon, decay;
    T correction1, correction2;  // 1 - beta1^t and the root of 1 - beta2^t
};

// Moves `flat` and both moments.
template <class T> void adamw(long count, T* flat, const T* gradient, T* mean, T* square, T rate, Step<T> step) {
    constexpr int L = LANES<T>;
    const T pace = rate / step.correction1, shrink = 1 - rate * step.decay;
    for (long i = 0; i < count; i += L) {
        long left = count - i;
        Vector<T, L> slope = load<L>(gradient + i, left);
        Vector<T, L> first = load<L>(mean + i, left), second = load<L>(square + i, left);
        first += (slope - first) * (1 - step.beta1);
        second = second * step.beta2 + slope * slope * (1 - step.beta2);
        Vector<T, L> root = second;
        for (int lane = 0; lane < L; lane++) root[lane] = std::sqrt(root[lane]);
        Vector<T, L> size = root / step.correction2 + step.epsilon;
        store(mean + i, first, left);
        store(square + i, second, left);
        store(flat + i, load<L>(flat + i, left) * shrink - first / size * pace, left);
    }
}
