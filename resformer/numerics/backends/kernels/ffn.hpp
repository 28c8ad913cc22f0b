// The FFN sub-layer: f = a(x W1 + b1) W2 + b2 (Vaswani et al. 2017, arXiv 1706.03762, eq. 2), or with a gate
// f = ((x W1 + b1) a(x W3 + b3)) W2 + b2 (Shazeer 2020, arXiv 2002.05202, eq. 6).
#pragma once

#include <algorithm>

#include "activation.hpp"
#include "product.hpp"

// Rows that are taken together, so that what lies between two products stays in the cache.
constexpr long CHUNK = 256;

// Biases are null where there are none, and all of the gate where there is no gate.
template <class T> struct FfnWeights {
    const T *in, *in_bias, *out, *out_bias, *gate, *gate_bias;
};
template <class T> struct FfnGradients {
    T *in, *in_bias, *out, *out_bias, *gate, *gate_bias;
};

struct FfnShape {
    long rows, D, F;
    Activation activation;
};

// The hidden layer h of n rows, which W2 multiplies. For the backward pass of all but an ungated ReLU: `slopes` of the
// activation; with a gate also u, which it multiplies, and `open`, the gate behind its activation.
template <class T> struct Hidden {
    FfnShape shape;
    FfnWeights<T> w;
    static inline thread_local Scratch<T> in_rows, gate_rows, room;
    Rows<T> in, gate;
    T *u, *open, *h, *slopes;

    Hidden(FfnShape shape, FfnWeights<T> w) : shape(shape), w(w) {
        constexpr int L = LANES<T>;
        long size = CHUNK * shape.F;
        in = as_rows<T>({w.in, shape.F, 1}, shape.D, shape.F, L, in_rows);
        if (w.gate) gate = as_rows<T>({w.gate, shape.F, 1}, shape.D, shape.F, L, gate_rows);
        u = room.of(4 * size), open = u + size, h = open + size, slopes = h + size;
    }

    void of(const T* x, long n, bool kept) const {
        constexpr int L = LANES<T>;
        long D = shape.D, F = shape.F;
        if (!w.gate && shape.activation == RELU) {
            product<T, L>(n, F, D, {x, D, 1}, in, h, F, {w.in_bias, false, true});
            return;
        }
        product<T, L>(n, F, D, {x, D, 1}, in, u, F, {w.in_bias});
        if (w.gate) product<T, L>(n, F, D, {x, D, 1}, gate, open, F, {w.gate_bias});
        T* before = w.gate ? open : u;
        for (long j = 0; j < n * F; j += L) {
            long left = n * F - j;
            Vector<T, L> slope;
            Vector<T, L> value = activated<T, L>(shape.activation, load<L>(before + j, left), kept ? &slope : nullptr);
            if (kept) {
                store(slopes + j, slope, left);
                if (w.gate) store(open + j, value, left);
            }
            store(h + j, w.gate ? value * load<L>(u + j, left) : value, left);
        }
    }

    // From the gradient of h those of u, in place of h's (g), and of the gate, both before the activation.
    void backward(long n, T* g, T* g_gate) const {
        constexpr int L = LANES<T>;
        long count = n * shape.F;
        if (!w.gate && shape.activation == RELU) {
            for (long j = 0; j < count; j++) g[j] = h[j] <= 0 ? T(0) : g[j];
            return;
        }
        for (long j = 0; j < count; j += L) {
            long left = count - j;
            const Vector<T, L> pulled = load<L>(g + j, left), slope = load<L>(slopes + j, left);
            if (w.gate) store(g_gate + j, pulled * load<L>(u + j, left) * slope, left);
            store(g + j, pulled * (w.gate ? load<L>(open + j, left) : slope), left);
        }
    }
};

// One member: x (rows, D) -> f (rows, D). Nothing is kept for the backward pass: writing the hidden layer to memory and
// reading it again takes longer than its product.
template <class T> void ffn_forward(FfnShape shape, const T* x, FfnWeights<T> w, T* f) {
    constexpr int L = LANES<T>;
    static thread_local Scratch<T> out_rows;
    long D = shape.D, F = shape.F;
    Hidden<T> hidden(shape, w);
    Rows<T> out = as_rows<T>({w.out, D, 1}, F, D, L, out_rows);
    for (long i = 0; i < shape.rows; i += CHUNK) {
        long n = std::min(CHUNK, shape.rows - i);
        hidden.of(x + i * D, n, false);
        product<T, L>(n, D, F, {hidden.h, F, 1}, out, f + i * D, D, {w.out_bias});
    }
}

// From the gradient g of f: that of x, and those of the weights, all overwritten.
template <class T> void ffn_backward(FfnShape shape, const T* g, const T* x, FfnWeights<T> w, T* g_x, FfnGradients<T> g_w) {
    constexpr int L = LANES<T>;
    static thread_local Scratch<T> in_columns, gate_columns, out_columns, between, sums_g, sums_h;
    long D = shape.D, F = shape.F;
    Hidden<T> hidden(shape, w);
    Rows<T> in_turned = as_rows<T>({w.in, 1, F}, F, D, L, in_columns), gate_turned{};
    if (w.gate) gate_turned = as_rows<T>({w.gate, 1, F}, F, D, L, gate_columns);
    Rows<T> out_turned = as_rows<T>({w.out, 1, D}, D, F, L, out_columns);
    T *g_u = between.of(2 * CHUNK * F), *g_gate = g_u + CHUNK * F;
    for (auto [bias, size] : {std::pair{g_w.in_bias, F}, std::pair{g_w.gate_bias, F}, std::pair{g_w.out_bias, D}})
        if (bias) std::fill_n(bias, size, T(0));
    for (long i = 0; i < shape.rows; i += CHUNK) {
        long n = std::min(CHUNK, shape.rows - i);
        const T *x_i = x + i * D, *g_i = g + i * D;
        hidden.of(x_i, n, true);
        product<T, L>(n, F, D, {g_i, D, 1}, out_turned, g_u, F);
        hidden.backward(n, g_u, g_gate);
        product<T, L>(n, D, F, {g_u, F, 1}, in_turned, g_x + i * D, D);
        Ends<T> more{nullptr, i > 0, false};
        product<T, L>(D, F, n, {x_i, 1, D}, as_rows<T>({g_u, F, 1}, n, F, L, sums_h), g_w.in, F, more);
        if (w.gate) {
            product<T, L>(n, D, F, {g_gate, F, 1}, gate_turned, g_x + i * D, D, {nullptr, true});
            product<T, L>(D, F, n, {x_i, 1, D}, as_rows<T>({g_gate, F, 1}, n, F, L, sums_h), g_w.gate, F, more);
            if (g_w.gate_bias) add_column_sums(n, F, g_gate, g_w.gate_bias);
        }
        product<T, L>(F, D, n, {hidden.h, 1, F}, as_rows<T>({g_i, D, 1}, n, D, L, sums_g), g_w.out, D, more);
        if (g_w.in_bias) add_column_sums(n, F, g_u, g_w.in_bias);
        if (g_w.out_bias) add_column_sums(n, D, g_i, g_w.out_bias);
    }
}
