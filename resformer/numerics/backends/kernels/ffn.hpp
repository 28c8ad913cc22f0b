// The FFN sub-layer: f = relu(x W1 + b1) W2 + b2 (Vaswani et al. 2017, arXiv 1706.03762, eq. 2).
#pragma once

#include <algorithm>

#include "product.hpp"

// Rows that are taken together, so that what lies between two products stays in the cache.
constexpr long CHUNK = 256;

template <class T> struct FfnWeights {
    const T *in, *in_bias, *out, *out_bias;
};
template <class T> struct FfnGradients {
    T *in, *in_bias, *out, *out_bias;
};

// One member: x (rows, D) -> f (rows, D). Nothing is kept for the backward pass: writing the hidden layer to memory and
// reading it again takes longer than its product.
template <class T> void ffn_forward(long rows, long D, long F, const T* x, FfnWeights<T> w, T* f) {
    constexpr int L = LANES<T>;
    static thread_local Scratch<T> in_rows, out_rows, between;
    Rows<T> in = as_rows<T>({w.in, F, 1}, D, F, L, in_rows), out = as_rows<T>({w.out, D, 1}, F, D, L, out_rows);
    for (long i = 0; i < rows; i += CHUNK) {
        long n = std::min(CHUNK, rows - i);
        T* h = between.of(CHUNK * F);
        product<T, L>(n, F, D, {x + i * D, D, 1}, in, h, F, {w.in_bias, false, true});
        product<T, L>(n, D, F, {h, F, 1}, out, f + i * D, D, {w.out_bias, false, false});
    }
}

// From the gradient g of f: that of x, and those of the weights, all overwritten.
template <class T>
void ffn_backward(long rows, long D, long F, const T* g, const T* x, FfnWeights<T> w, T* g_x, FfnGradients<T> g_w) {
    constexpr int L = LANES<T>;
    static thread_local Scratch<T> in_rows, in_columns, out_columns, between, sums_g, sums_h;
    Rows<T> in = as_rows<T>({w.in, F, 1}, D, F, L, in_rows);
    Rows<T> in_turned = as_rows<T>({w.in, 1, F}, F, D, L, in_columns);
    Rows<T> out_turned = as_rows<T>({w.out, 1, D}, D, F, L, out_columns);
    T *h = between.of(2 * CHUNK * F), *g_hidden = h + CHUNK * F;
    std::fill_n(g_w.in_bias, F, T(0));
    std::fill_n(g_w.out_bias, D, T(0));
    for (long i = 0; i < rows; i += CHUNK) {
        long n = std::min(CHUNK, rows - i);
        const T *x_i = x + i * D, *g_i = g + i * D;
        product<T, L>(n, F, D, {x_i, D, 1}, in, h, F, {w.in_bias, false, true});
        product<T, L>(n, F, D, {g_i, D, 1}, out_turned, g_hidden, F);
        for (long j = 0; j < n * F; j++) g_hidden[j] = h[j] <= 0 ? T(0) : g_hidden[j];
        product<T, L>(n, D, F, {g_hidden, F, 1}, in_turned, g_x + i * D, D);
        Ends<T> more{nullptr, i > 0, false};
        product<T, L>(D, F, n, {x_i, 1, D}, as_rows<T>({g_hidden, F, 1}, n, F, L, sums_h), g_w.in, F, more);
        product<T, L>(F, D, n, {h, 1, F}, as_rows<T>({g_i, D, 1}, n, D, L, sums_g), g_w.out, D, more);
        add_column_sums(n, F, g_hidden, g_w.in_bias);
        add_column_sums(n, D, g_i, g_w.out_bias);
    }
}
