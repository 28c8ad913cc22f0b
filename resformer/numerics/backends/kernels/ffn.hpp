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

// What the backward pass needs: the hidden layer h (rows, H), which W2 multiplies; of all but an ungated ReLU the
// `slopes` of the activation; with a gate also u, which it multiplies, and `open`, the gate behind its activation. H is
// F in whole vectors; nothing reads the columns from F on as if they were units.
template <class T> struct FfnKept {
    T *h, *slopes, *u, *open;

    static bool plain(FfnShape shape, bool gated) { return !gated && shape.activation == RELU; }
    static long count(FfnShape shape) { return shape.rows * padded(shape.F, LANES<T>); }
    static long size(FfnShape shape, bool gated) { return count(shape) * (plain(shape, gated) ? 1 : gated ? 4 : 2); }

    FfnKept(T* room, FfnShape shape, bool gated) : h(room), slopes(h), u(h), open(h) {
        if (!plain(shape, gated)) slopes = h + count(shape);
        if (gated) u = slopes + count(shape), open = u + count(shape);
    }
};

// One member: x (rows, D) -> f (rows, D); null: to `kept` only.
template <class T> void ffn_forward(FfnShape shape, const T* x, FfnWeights<const T> w, FfnKept<T> kept, T* f) {
    constexpr int L = LANES<T>;
    static thread_local Scratch<T> rows, bias_row, between;
    const long n = shape.rows, D = shape.D, F = shape.F, H = padded(F, L);
    const bool plain = FfnKept<T>::plain(shape, w.gate);
    auto widened = [&](const T* matrix, const T* bias, T* result, bool relu) {
        if (bias) bias = as_rows<T>({bias, F, 1}, 1, F, L, bias_row).at;
        product<T, L>(n, H, D, {x, D, 1}, as_rows<T>({matrix, F, 1}, D, F, L, rows), result, H, {bias, false, relu});
    };
    T* u = plain ? kept.h : w.gate ? kept.u : between.of(n * H);
    widened(w.in, w.in_bias, u, plain);
    T* before = w.gate ? kept.open : u;
    if (w.gate) widened(w.gate, w.gate_bias, before, false);
    for (long j = 0; !plain && j < n * H; j += L) {
        Vector<T, L> slope;
        const Vector<T, L> value = activated<T, L>(shape.activation, load<L>(before + j), &slope);
        store(kept.slopes + j, slope);
        if (w.gate) store(before + j, value);
        store(kept.h + j, w.gate ? value * load<L>(u + j) : value);
    }
    if (f) product<T, L>(n, D, F, {kept.h, H, 1}, as_rows<T>({w.out, D, 1}, F, D, L, rows), f, D, {w.out_bias});
}

// From the gradient g of f: that of x, added to g_x, which may be g, or overwriting it; those of the weights are added.
template <class T>
void ffn_backward(FfnShape shape, const T* g, const T* x, FfnWeights<const T> w, FfnKept<T> kept, T* g_x, bool add,
                  FfnWeights<T> g_w) {
    constexpr int L = LANES<T>;
    static thread_local Scratch<T> columns, between, right;
    const long n = shape.rows, D = shape.D, F = shape.F, H = padded(F, L);
    const bool plain = FfnKept<T>::plain(shape, w.gate);
    T *g_u = between.of(2 * n * H), *g_gate = g_u + n * H;
    auto turned = [&](const T* slopes, const T* matrix, bool add) {
        product<T, L>(n, D, F, {slopes, H, 1}, as_rows<T>({matrix, 1, F}, F, D, L, columns), g_x, D, {nullptr, add});
    };
    auto widening = [&](const T* slopes, T* matrix, T* bias) {
        product<T, L>(D, F, n, {x, 1, D}, {slopes, H}, matrix, F, {nullptr, true});
        if (bias) add_column_sums(n, F, slopes, H, bias);
    };
    product<T, L>(n, H, D, {g, D, 1}, as_rows<T>({w.out, 1, D}, D, F, L, columns), g_u, H,
                  {nullptr, false, false, plain ? kept.h : nullptr});
    for (long j = 0; !plain && j < n * H; j += L) {
        const Vector<T, L> pulled = load<L>(g_u + j), slope = load<L>(kept.slopes + j);
        if (w.gate) store(g_gate + j, pulled * load<L>(kept.u + j) * slope);
        store(g_u + j, pulled * (w.gate ? load<L>(kept.open + j) : slope));
    }
    product<T, L>(F, D, n, {kept.h, 1, H}, as_rows<T>({g, D, 1}, n, D, L, right), g_w.out, D, {nullptr, true});
    if (g_w.out_bias) add_column_sums(n, D, g, D, g_w.out_bias);
    widening(g_u, g_w.in, g_w.in_bias);
    if (w.gate) widening(g_gate, g_w.gate, g_w.gate_bias);
    turned(g_u, w.in, add);
    if (w.gate) turned(g_gate, w.gate, true);
}
