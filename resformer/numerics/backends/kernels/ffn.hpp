// The FFN sub-layer: f = a(x W1 + b1) W2 + b2 (Vaswani et al. 2017, arXiv 1706.03762, eq. 2), or with a gate
// f = ((x W1 + b1) a(x W3 + b3)) W2 + b2 (Shazeer 2020, arXiv 2002.05202, eq. 6).
#pragma once

#include <algorithm>

#include "activation.hpp"
#include "product.hpp"

// Weights, of const numbers, or their gradients. Biases are null where there are none, and all of the gate where there
// is no gate.
template <class T> struct FfnWeights {
    T *in, *in_bias, *out, *out_bias, *gate, *gate_bias;
};

struct FfnShape {
    long rows, D, F;
    Activation activation;
};

// What the backward pass needs: the hidden layer h (rows, F), which W2 multiplies; of all but an ungated ReLU the
// `slopes` of the activation; with a gate also u, which it multiplies, and `open`, the gate behind its activation.
template <class T> struct FfnKept {
    T *h, *slopes, *u, *open;

    static bool plain(FfnShape shape, bool gated) { return !gated && shape.activation == RELU; }

    static long size(FfnShape shape, bool gated) {
        return shape.rows * shape.F * (plain(shape, gated) ? 1 : gated ? 4 : 2);
    }

    FfnKept(T* room, FfnShape shape, bool gated) : h(room), slopes(h), u(h), open(h) {
        const long count = shape.rows * shape.F;
        if (!plain(shape, gated)) slopes = h + count;
        if (gated) u = slopes + count, open = u + count;
    }
};

// One member: x (rows, D) -> f (rows, D); null: to `kept` only.
template <class T> void ffn_forward(FfnShape shape, const T* x, FfnWeights<const T> w, FfnKept<T> kept, T* f) {
    constexpr int L = LANES<T>;
    static thread_local Scratch<T> rows, between;
    const long n = shape.rows, D = shape.D, F = shape.F;
    const bool plain = FfnKept<T>::plain(shape, w.gate);
    T* u = plain ? kept.h : w.gate ? kept.u : between.of(n * F);
    product<T, L>(n, F, D, {x, D, 1}, as_rows<T>({w.in, F, 1}, D, F, L, rows), u, F, {w.in_bias, false, plain});
    T* before = w.gate ? kept.open : u;
    if (w.gate)
        product<T, L>(n, F, D, {x, D, 1}, as_rows<T>({w.gate, F, 1}, D, F, L, rows), before, F, {w.gate_bias});
    for (long j = 0; !plain && j < n * F; j += L) {
        const long left = n * F - j;
        Vector<T, L> slope;
        const Vector<T, L> value = activated<T, L>(shape.activation, load<L>(before + j, left), &slope);
        store(kept.slopes + j, slope, left);
        if (w.gate) store(before + j, value, left);
        store(kept.h + j, w.gate ? value * load<L>(u + j, left) : value, left);
    }
    if (f) product<T, L>(n, D, F, {kept.h, F, 1}, as_rows<T>({w.out, D, 1}, F, D, L, rows), f, D, {w.out_bias});
}

// From the gradient g of f: that of x, added to g_x, which may be g, or overwriting it; those of the weights are added.
template <class T>
void ffn_backward(FfnShape shape, const T* g, const T* x, FfnWeights<const T> w, FfnKept<T> kept, T* g_x, bool add,
                  FfnWeights<T> g_w) {
    constexpr int L = LANES<T>;
    static thread_local Scratch<T> columns, between, right;
    const long n = shape.rows, D = shape.D, F = shape.F;
    const bool plain = FfnKept<T>::plain(shape, w.gate);
    T *g_u = between.of(2 * n * F), *g_gate = g_u + n * F;
    auto turned = [&](const T* slopes, const T* matrix, T* result, bool add) {
        product<T, L>(n, D, F, {slopes, F, 1}, as_rows<T>({matrix, 1, F}, F, D, L, columns), result, D, {nullptr, add});
    };
    auto weight = [&](const T* left, long in, const T* slopes, long out, T* matrix, T* bias) {
        product<T, L>(in, out, n, {left, 1, in}, as_rows<T>({slopes, out, 1}, n, out, L, right), matrix, out,
                      {nullptr, true});
        if (bias) add_column_sums(n, out, slopes, bias);
    };
    product<T, L>(n, F, D, {g, D, 1}, as_rows<T>({w.out, 1, D}, D, F, L, columns), g_u, F,
                  {nullptr, false, false, plain ? kept.h : nullptr});
    for (long j = 0; !plain && j < n * F; j += L) {
        const long left = n * F - j;
        const Vector<T, L> pulled = load<L>(g_u + j, left), slope = load<L>(kept.slopes + j, left);
        if (w.gate) store(g_gate + j, pulled * load<L>(kept.u + j, left) * slope, left);
        store(g_u + j, pulled * (w.gate ? load<L>(kept.open + j, left) : slope), left);
    }
    weight(kept.h, F, g, D, g_w.out, g_w.out_bias);
    weight(x, D, g_u, F, g_w.in, g_w.in_bias);
    if (w.gate) weight(x, D, g_gate, F, g_w.gate, g_w.gate_bias);
    turned(g_u, w.in, g_x, add);
    if (w.gate) turned(g_gate, w.gate, g_x, true);
}
