// Layer norm (Ba et al. 2016, arXiv 1607.06450) and RMSNorm (Zhang & Sennrich 2019, arXiv 1910.07467) over the D columns
// of each row, with a gain, and a bias unless it is null. RMSNorm leaves the mean where it is: to it, the mean is 0.
#pragma once

#include <algorithm>

#include "product.hpp"

// One member: y = (x - mean) * scale * gain + bias. Kept for the backward pass: mean and scale (rows).
template <class T>
void norm_forward(long rows, long D, bool centred, const T* x, const T* gain, const T* bias, T epsilon, T* mean,
                  T* scale, T* y) {
    constexpr int L = LANES<T>;
    for (long i = 0; i < rows; i++, x += D, y += D) {
        Vector<T, L> total{}, squares{};
        if (centred)
            for (long j = 0; j < D; j += L) total += load<L>(x + j, D - j);
        const T middle = sum<T, L>(total) / D;
        for (long j = 0; j < D; j += L) {
            Vector<T, L> away = load<L>(x + j, D - j) - middle;
            for (long lane = D - j; lane < L; lane++) away[lane] = 0;
            squares += away * away;
        }
        const T by = 1 / std::sqrt(sum<T, L>(squares) / D + epsilon);
        for (long j = 0; j < D; j += L) {
            Vector<T, L> unit = (load<L>(x + j, D - j) - middle) * by, more{};
            if (bias) more = load<L>(bias + j, D - j);
            store(y + j, unit * load<L>(gain + j, D - j) + more, D - j);
        }
        mean[i] = middle;
        scale[i] = by;
    }
}

// From the gradient g of y: that of x, and those of gain and bias, all overwritten.
template <class T>
void norm_backward(long rows, long D, bool centred, const T* g, const T* x, const T* gain, const T* mean,
                   const T* scale, T* g_x, T* g_gain, T* g_bias) {
    constexpr int L = LANES<T>;
    std::fill_n(g_gain, D, T(0));
    if (g_bias) std::fill_n(g_bias, D, T(0));
    for (long i = 0; i < rows; i++, g += D, x += D, g_x += D) {
        Vector<T, L> total{}, along{};
        for (long j = 0; j < D; j += L) {
            Vector<T, L> unit = (load<L>(x + j, D - j) - mean[i]) * scale[i], slope = load<L>(g + j, D - j);
            Vector<T, L> pulled = slope * load<L>(gain + j, D - j);
            total += pulled;
            along += pulled * unit;
            store(g_gain + j, load<L>(g_gain + j, D - j) + slope * unit, D - j);
            if (g_bias) store(g_bias + j, load<L>(g_bias + j, D - j) + slope, D - j);
        }
        const T shared = centred ? sum<T, L>(total) / D : T(0), tilt = sum<T, L>(along) / D;
        for (long j = 0; j < D; j += L) {
            Vector<T, L> unit = (load<L>(x + j, D - j) - mean[i]) * scale[i];
            Vector<T, L> pulled = load<L>(g + j, D - j) * load<L>(gain + j, D - j);
            store(g_x + j, (pulled - shared - unit * tilt) * scale[i], D - j);
        }
    }
}
