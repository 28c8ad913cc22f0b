// Multi-head attention: softmax(scale q k') v per head, between linear projections (Vaswani et al. 2017, eq. 1).
#pragma once

#include <algorithm>
#include <limits>

#include "heads.hpp"
#include "product.hpp"

// Biases and gains are null where there are none.
template <class T> struct AttendWeights {
    const T *query, *query_bias, *key, *key_bias, *value, *value_bias, *output, *output_bias, *query_gain, *key_gain;
};
template <class T> struct AttendGradients {
    T *query, *query_bias, *key, *key_bias, *value, *value_bias, *output, *output_bias, *query_gain, *key_gain;
};

template <class T> struct AttendShape {
    long sequences, tokens, width, heads;
    bool causal;
    T scale, epsilon;
    const T *cosine, *sine;  // of rotary positions, (tokens, K); null where there are none
};

// One head of one sequence at a time. Scores lie transposed, (key s, query t): then the sums of the softmax run over
// rows, a lane per query, and no vector is ever summed across its lanes.
template <class T> struct Head {
    long tokens, width, row;  // row: distance between two tokens
    bool causal;
    T scale;
    static inline thread_local Scratch<T> turned, right, scores_st, slopes_st;

    // scores (s, t) = left_s · other_t
    template <int L> long inner(const T* left, const T* other, T* scores) const {
        long across = padded(tokens, L);
        T* other_kt = turned.of(width * across);
        for (long k = 0; k < width; k++) {
            for (long t = 0; t < tokens; t++) other_kt[k * across + t] = other[t * row + k];
            for (long t = tokens; t < across; t++) other_kt[k * across + t] = 0;
        }
        product<T, L>(tokens, across, width, {left, row, 1}, {other_kt, across}, scores, across);
        return across;
    }

    // result_i = the sum over j of weight(i, j) · rows_j
    void outer(View<T> weight, const T* rows, T* result) const {
        with_lanes<T>(width, [&](auto lanes) {
            constexpr int L = decltype(lanes)::value;
            product<T, L>(tokens, width, tokens, weight, as_rows<T>({rows, row, 1}, tokens, width, L, right), result,
                          row);
        });
    }

    // v where the queries t, t + 1, ... may see key s, else `instead`.
    template <int L> Vector<T, L> visible(long s, long t, Vector<T, L> v, Vector<T, L> instead) const {
        return !causal || s <= t ? v : (counting<T, L>() >= Whole<T>(s - t) ? v : instead);
    }

    // q, k, v -> mixed; peaks (2, tokens): each query's largest score and its sum, kept for the backward pass.
    void forward(const T* q, const T* k, const T* v, T* mixed, T* peaks) const {
        with_lanes<T>(tokens, [&](auto lanes) {
            constexpr int L = decltype(lanes)::value;
            T* scores = scores_st.of(tokens * padded(tokens, L));
            long across = inner<L>(k, q, scores);
            for (long t = 0; t < across; t += L) {
                long seen = causal ? std::min(tokens, t + L) : tokens;
                Vector<T, L> most = Vector<T, L>{} - std::numeric_limits<T>::infinity(), total{};
                for (long s = 0; s < seen; s++) {
                    Vector<T, L> score = visible<L>(s, t, load<L>(scores + s * across + t), most);
                    most = score > most ? score : most;
                }
                for (long s = 0; s < seen; s++) {
                    Vector<T, L> power = exponential<L>((load<L>(scores + s * across + t) - most) * scale);
                    power = visible<L>(s, t, power, Vector<T, L>{});
                    total += power;
                    store(scores + s * across + t, power);
                }
                const Vector<T, L> share = 1 / total;
                for (long s = 0; s < tokens; s++)
                    store(scores + s * across + t,
                          s < seen ? load<L>(scores + s * across + t) * share : Vector<T, L>{});
                store(peaks + t, most, tokens - t);
                store(peaks + tokens + t, total, tokens - t);
            }
            outer({scores, 1, across}, v, mixed);
        });
    }

    // The gradient g of mixed -> those of q, k, v.
    void backward(const T* g, const T* q, const T* k, const T* v, const T* peaks, T* g_q, T* g_k, T* g_v) const {
        with_lanes<T>(tokens, [&](auto lanes) {
            constexpr int L = decltype(lanes)::value;
            T* scores = scores_st.of(tokens * padded(tokens, L));
            T* slopes = slopes_st.of(tokens * padded(tokens, L));
            long across = inner<L>(k, q, scores);
            inner<L>(v, g, slopes);
            for (long t = 0; t < across; t += L) {
                long seen = causal ? std::min(tokens, t + L) : tokens;
                const Vector<T, L> most = load<L>(peaks + t, tokens - t);
                const Vector<T, L> part = 1 / load<L>(peaks + tokens + t, tokens - t);
                Vector<T, L> mean{};
                for (long s = 0; s < tokens; s++) {
                    Vector<T, L> share{};
                    if (s < seen) {
                        share = exponential<L>((load<L>(scores + s * across + t) - most) * scale) * part;
                        share = visible<L>(s, t, share, Vector<T, L>{});
                    }
                    mean += share * load<L>(slopes + s * across + t);
                    store(scores + s * across + t, share);
                }
                for (long s = 0; s < tokens; s++) {
                    Vector<T, L> slope = load<L>(slopes + s * across + t) - mean;
                    store(slopes + s * across + t, load<L>(scores + s * across + t) * slope * scale);
                }
            }
            outer({scores, across, 1}, g, g_v);
            outer({slopes, 1, across}, k, g_q);
            outer({slopes, across, 1}, q, g_k);
        });
    }
};

// Sequences that are taken together, so that what lies between two products stays in the cache.
template <class T> long sequences_at_once(AttendShape<T> shape) { return std::max(1L, 256 / shape.tokens); }

// The three projections of one member, and room for what they make of some sequences.
template <class T> struct Projections {
    static inline thread_local Scratch<T> query_rows, key_rows, value_rows, room;
    AttendShape<T> shape;
    AttendWeights<T> w;
    Rows<T> query, key, value;
    T *q, *k, *v;
    HeadShape<T> heads;
    // Of queries and keys, for the backward pass: before the gain, and the factor of each head's norm.
    T *q_unit = nullptr, *k_unit = nullptr, *q_scale = nullptr, *k_scale = nullptr;

    Projections(AttendShape<T> shape, AttendWeights<T> w, bool kept)
        : shape(shape), w(w),
          heads{shape.heads, shape.width / shape.heads, shape.tokens, shape.epsilon, shape.cosine, shape.sine} {
        long D = shape.width, most = sequences_at_once(shape) * shape.tokens * D;
        query = as_rows<T>({w.query, D, 1}, D, D, LANES<T>, query_rows);
        key = as_rows<T>({w.key, D, 1}, D, D, LANES<T>, key_rows);
        value = as_rows<T>({w.value, D, 1}, D, D, LANES<T>, value_rows);
        q = room.of(7 * most), k = q + most, v = k + most;
        if (kept) q_unit = v + most, k_unit = q_unit + most, q_scale = k_unit + most, k_scale = q_scale + most;
    }

    void of(const T* x, long rows) const {
        long D = shape.width;
        product<T, LANES<T>>(rows, D, D, {x, D, 1}, query, q, D, {w.query_bias});
        product<T, LANES<T>>(rows, D, D, {x, D, 1}, key, k, D, {w.key_bias});
        product<T, LANES<T>>(rows, D, D, {x, D, 1}, value, v, D, {w.value_bias});
        if (!w.query_gain && !shape.cosine) return;
        heads.forward(rows, w.query_gain, q, q_unit, q_scale);
        heads.forward(rows, w.key_gain, k, k_unit, k_scale);
    }
};

// One member: x (rows, D) -> f (rows, D), rows = sequences * tokens. Kept for the backward pass: mixed (rows, D) and
// peaks (sequences, heads, 2, tokens). Query, key and value are not: fetching them takes longer than their products.
template <class T> void attend_forward(AttendShape<T> shape, const T* x, AttendWeights<T> w, T* mixed, T* peaks, T* f) {
    constexpr int L = LANES<T>;
    static thread_local Scratch<T> output_rows;
    long D = shape.width, K = D / shape.heads, tokens = shape.tokens, some = sequences_at_once(shape);
    Projections<T> projected(shape, w, false);
    Rows<T> output = as_rows<T>({w.output, D, 1}, D, D, L, output_rows);
    Head<T> head{tokens, K, D, shape.causal, shape.scale};
    for (long b = 0; b < shape.sequences; b += some) {
        long count = std::min(some, shape.sequences - b), n = count * tokens, i = b * tokens * D;
        projected.of(x + i, n);
        for (long s = 0; s < count; s++)
            for (long h = 0; h < shape.heads; h++) {
                long at = s * tokens * D + h * K;
                head.forward(projected.q + at, projected.k + at, projected.v + at, mixed + i + at,
                             peaks + ((b + s) * shape.heads + h) * 2 * tokens);
            }
        product<T, L>(n, D, D, {mixed + i, D, 1}, output, f + i, D, {w.output_bias});
    }
}

// From the gradient g of f: that of x, and those of the weights, all overwritten.
template <class T>
void attend_backward(AttendShape<T> shape, const T* g, const T* x, const T* mixed, const T* peaks, AttendWeights<T> w,
                     T* g_x, AttendGradients<T> g_w) {
    constexpr int L = LANES<T>;
    static thread_local Scratch<T> query_columns, key_columns, value_columns, output_columns, between, right;
    long D = shape.width, K = D / shape.heads, tokens = shape.tokens, some = sequences_at_once(shape);
    Projections<T> projected(shape, w, true);
    Rows<T> query = as_rows<T>({w.query, 1, D}, D, D, L, query_columns);
    Rows<T> key = as_rows<T>({w.key, 1, D}, D, D, L, key_columns);
    Rows<T> value = as_rows<T>({w.value, 1, D}, D, D, L, value_columns);
    Rows<T> output = as_rows<T>({w.output, 1, D}, D, D, L, output_columns);
    Head<T> head{tokens, K, D, shape.causal, shape.scale};
    for (T* bias : {g_w.query_bias, g_w.key_bias, g_w.value_bias, g_w.output_bias})
        if (bias) std::fill_n(bias, D, T(0));
    for (T* gain : {g_w.query_gain, g_w.key_gain})
        if (gain) std::fill_n(gain, K, T(0));
    long most = some * tokens * D;
    T *g_mixed = between.of(4 * most), *g_q = g_mixed + most, *g_k = g_q + most, *g_v = g_k + most;
    for (long b = 0; b < shape.sequences; b += some) {
        long count = std::min(some, shape.sequences - b), n = count * tokens, i = b * tokens * D;
        projected.of(x + i, n);
        product<T, L>(n, D, D, {g + i, D, 1}, output, g_mixed, D);
        for (long s = 0; s < count; s++)
            for (long h = 0; h < shape.heads; h++) {
                long at = s * tokens * D + h * K;
                head.backward(g_mixed + at, projected.q + at, projected.k + at, projected.v + at,
                              peaks + ((b + s) * shape.heads + h) * 2 * tokens, g_q + at, g_k + at, g_v + at);
            }
        if (w.query_gain || shape.cosine) {
            projected.heads.backward(n, w.query_gain, g_q, projected.q_unit, projected.q_scale, g_w.query_gain);
            projected.heads.backward(n, w.key_gain, g_k, projected.k_unit, projected.k_scale, g_w.key_gain);
        }
        product<T, L>(n, D, D, {g_q, D, 1}, query, g_x + i, D);
        product<T, L>(n, D, D, {g_k, D, 1}, key, g_x + i, D, {nullptr, true});
        product<T, L>(n, D, D, {g_v, D, 1}, value, g_x + i, D, {nullptr, true});
        auto weight = [&](const T* left, const T* slopes, T* matrix, T* bias) {
            product<T, L>(D, D, n, {left, 1, D}, as_rows<T>({slopes, D, 1}, n, D, L, right), matrix, D,
                          {nullptr, b > 0});
            if (bias) add_column_sums(n, D, slopes, bias);
        };
        weight(x + i, g_q, g_w.query, g_w.query_bias);
        weight(x + i, g_k, g_w.key, g_w.key_bias);
        weight(x + i, g_v, g_w.value, g_w.value_bias);
        weight(mixed + i, g + i, g_w.output, g_w.output_bias);
    }
}
