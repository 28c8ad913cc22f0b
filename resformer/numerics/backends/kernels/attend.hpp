// Multi-head attention: softmax(scale q k') v per head, between linear projections (Vaswani et al. 2017, eq. 1).
#pragma once

#include <algorithm>
#include <limits>

#include "heads.hpp"
#include "product.hpp"

// Weights, of const numbers, or their gradients. Biases and gains are null where there are none.
template <class T> struct AttendWeights {
    T *query, *query_bias, *key, *key_bias, *value, *value_bias, *output, *output_bias, *query_gain, *key_gain;
};

template <class T> struct AttendShape {
    long sequences, tokens, width, heads;
    bool causal;
    T scale, epsilon;
    const T *cosine, *sine;  // of rotary positions, (tokens, K); null where there are none

    long rows() const { return sequences * tokens; }
    // Lanes of a row of queries, and numbers of a row of the pattern.
    int lanes() const { return tokens <= LANES<T> / 2 ? LANES<T> / 2 : LANES<T>; }
    long across() const { return padded(tokens, lanes()); }
};

// What the backward pass needs: queries, keys, values and what attention makes of them, (rows, D) each; the pattern of
// each head (sequences, heads, keys, queries); with norms of heads, queries and keys as they are before their norm, and
// the factor of each head's norm.
template <class T> struct AttendKept {
    T *q, *k, *v, *mixed, *pattern, *q_raw, *k_raw, *q_scale, *k_scale;

    static long size(AttendShape<T> shape, bool normed) {
        const long rows = shape.rows();
        return rows * (shape.width * (normed ? 6 : 4) + shape.heads * (shape.across() + (normed ? 2 : 0)));
    }

    AttendKept(T* room, AttendShape<T> shape, bool normed)
        : q(room), q_raw(nullptr), k_raw(nullptr), q_scale(nullptr), k_scale(nullptr) {
        const long size = shape.rows() * shape.width, scales = shape.rows() * shape.heads;
        k = q + size, v = k + size, mixed = v + size, pattern = mixed + size;
        if (!normed) return;
        q_raw = pattern + scales * shape.across(), k_raw = q_raw + size, q_scale = k_raw + size;
        k_scale = q_scale + scales;
    }
};

// One head of one sequence at a time. The pattern lies transposed, (key s, query t): then the sums of the softmax run
// over rows, a lane per query, and no vector is ever summed across its lanes. L: lanes of a row of queries; K: those of
// a row of a head.
template <class T, int L, int K> struct Head {
    long tokens, width, row;  // row: distance between two tokens
    bool causal;
    T scale;
    long across = padded(tokens, L);

    // Scores (s, t) = left_s · other_t, for the queries t that may see s.
    void inner(const T* left, const T* other, T* scores) const {
        static thread_local Scratch<T> turned;
        T* other_kt = turned.of(width * across);
        for (long t = 0; t < across; t += L) {
            turn(other, t, other_kt);
            small_product<T, L>(keys_seen(t), L, width, {left, row, 1}, {other_kt + t, across}, scores + t, across);
        }
    }

    // The columns t, t + 1, ..., t + L - 1 of rows' transpose, (width, across), those beyond the tokens 0.
    void turn(const T* rows, long t, T* turned) const {
        long k = 0;
        if constexpr (L >= 8)
            for (; t + L <= tokens && k + 8 <= width; k += 8) {
                Vector<T, L> square[8];
#pragma GCC unroll 8
                for (int i = 0; i < 8; i++) {
                    const T* from = rows + (t + i) * row + k;
                    square[i] = L == 8 ? load<L>(from) : load_halves<L>(from, from + 8 * row);
                }
                transpose<8>(square);
#pragma GCC unroll 8
                for (int i = 0; i < 8; i++) store(turned + (k + i) * across + t, square[i]);
            }
        for (; k < width; k++)
            for (long i = t; i < t + L; i++) turned[k * across + i] = i < tokens ? rows[i * row + k] : T(0);
    }

    // Keys that the queries t, t + 1, ..., t + L - 1 may see, all of them together.
    long keys_seen(long t) const { return causal ? std::min(tokens, t + L) : tokens; }

    // Heads half as wide as a vector: a lane per token, not per feature, keeps all lanes busy.
    bool by_token() const { return K < L && L == 16 && width == K && tokens % L == 0; }

    // result_i = the sum over j of weight(j, i) · rows_j, for L tokens i, a lane each, and so many j.
    void mix(const T* weight, long count, const T* rows, T* result) const {
        if constexpr (K < L && L == 16) {
            Vector<T, L> sum[K]{};
            for (long j = 0; j < count; j++) {
                const Vector<T, L> part = load<L>(weight + j * across);
#pragma GCC unroll 16
                for (int i = 0; i < K; i++) sum[i] += rows[j * row + i] * part;
            }
            transpose<K>(sum);
#pragma GCC unroll 16
            for (int i = 0; i < K; i++) store_halves(result + i * row, result + (i + K) * row, sum[i]);
        }
    }

    // result_t = the sum over s of weight(s, t) · rows_s
    void to_queries(const T* weight, const T* rows, T* result) const {
        for (long t = 0; t < tokens; t += L)
            if (by_token())
                mix(weight + t, keys_seen(t), rows, result + t * row);
            else
                small_product<T, K>(std::min<long>(L, tokens - t), width, keys_seen(t), {weight + t, 1, across},
                                    {rows, row}, result + t * row, row);
    }

    // result_s = the sum over t of weight(s, t) · rows_t
    void to_keys(const T* weight, const T* rows, T* result) const {
        for (long s = 0; s < tokens; s += L) {
            const long first = causal ? s : 0;
            if (by_token()) {
                static thread_local Scratch<T> room;
                T* turned = room.of(tokens * across);  // (queries, keys)
                if constexpr (L == 16)
                    for (long t = first; t < tokens; t += L) {
                        Vector<T, L> square[L];
#pragma GCC unroll 16
                        for (int i = 0; i < L; i++) square[i] = load<L>(weight + (s + i) * across + t);
                        transpose<L>(square);
#pragma GCC unroll 16
                        for (int i = 0; i < L; i++) store(turned + (t + i) * across + s, square[i]);
                    }
                mix(turned + first * across + s, tokens - first, rows + first * row, result + s * row);
            } else {
                small_product<T, K>(std::min<long>(L, tokens - s), width, tokens - first,
                                    {weight + s * across + first, across, 1}, {rows + first * row, row},
                                    result + s * row, row);
            }
        }
    }

    // v where the queries t, t + 1, ... may see key s, else `instead`.
    Vector<T, L> visible(long s, long t, Vector<T, L> v, Vector<T, L> instead) const {
        return !causal || s <= t ? v : (counting<T, L>() >= Whole<T>(s - t) ? v : instead);
    }

    // q, k, v -> pattern, mixed
    void forward(const T* q, const T* k, const T* v, T* pattern, T* mixed) const {
        inner(k, q, pattern);
        for (long t = 0; t < across; t += L) {
            const long seen = keys_seen(t);
            const Vector<T, L> least = Vector<T, L>{} - std::numeric_limits<T>::infinity();
            Vector<T, L> most[4] = {least, least, least, least}, total{};
            for (long s = 0; s < seen; s++) {
                const Vector<T, L> score = visible(s, t, load<L>(pattern + s * across + t), least);
                most[s % 4] = larger(score, most[s % 4]);
            }
            most[0] = larger(larger(most[0], most[1]), larger(most[2], most[3]));
            for (long s = 0; s < seen; s++) {
                Vector<T, L> power = exponential<L>((load<L>(pattern + s * across + t) - most[0]) * scale);
                power = visible(s, t, power, Vector<T, L>{});
                total += power;
                store(pattern + s * across + t, power);
            }
            const Vector<T, L> share = 1 / total;
            for (long s = 0; s < seen; s++)
                store(pattern + s * across + t, load<L>(pattern + s * across + t) * share);
        }
        to_queries(pattern, v, mixed);
    }

    // The gradient g of mixed -> those of q, k, v.
    void backward(const T* g, const T* q, const T* k, const T* v, const T* pattern, T* g_q, T* g_k, T* g_v) const {
        static thread_local Scratch<T> room;
        T* slopes = room.of(tokens * across);
        inner(v, g, slopes);
        for (long t = 0; t < across; t += L) {
            const long seen = keys_seen(t);
            Vector<T, L> mean{};
            for (long s = 0; s < seen; s++)
                mean += load<L>(pattern + s * across + t) * load<L>(slopes + s * across + t);
            for (long s = 0; s < seen; s++) {
                const Vector<T, L> slope = load<L>(slopes + s * across + t) - mean;
                store(slopes + s * across + t, load<L>(pattern + s * across + t) * slope * scale);
            }
        }
        to_keys(pattern, g, g_v);
        to_queries(slopes, k, g_q);
        to_keys(slopes, q, g_k);
    }
};

// Calls `what` for every head of every sequence: with the head, where its rows begin, and where its pattern does.
template <class T, class Do> void each_head(AttendShape<T> shape, Do&& what) {
    const long K = shape.width / shape.heads, size = shape.tokens * shape.across();
    with_lanes<T>(shape.tokens, [&](auto queries) {
        with_lanes<T>(K, [&](auto features) {
            const Head<T, queries.value, features.value> head{shape.tokens, K, shape.width, shape.causal, shape.scale};
            for (long s = 0; s < shape.sequences; s++)
                for (long h = 0; h < shape.heads; h++)
                    what(head, s * shape.tokens * shape.width + h * K, (s * shape.heads + h) * size);
        });
    });
}

// One member: x (rows, D) -> f (rows, D); null: to `kept` only.
template <class T>
void attend_forward(AttendShape<T> shape, const T* x, AttendWeights<const T> w, AttendKept<T> kept, T* f) {
    constexpr int L = LANES<T>;
    static thread_local Scratch<T> rows;
    const long n = shape.rows(), D = shape.width, K = D / shape.heads;
    auto project = [&](const T* left, const T* matrix, const T* bias, T* result) {
        product<T, L>(n, D, D, {left, D, 1}, as_rows<T>({matrix, D, 1}, D, D, L, rows), result, D, {bias});
    };
    T *q = w.query_gain ? kept.q_raw : kept.q, *k = w.query_gain ? kept.k_raw : kept.k;
    project(x, w.query, w.query_bias, q);
    project(x, w.key, w.key_bias, k);
    project(x, w.value, w.value_bias, kept.v);
    if (w.query_gain || shape.cosine) {
        const HeadShape<T> heads{shape.heads, K, shape.tokens, shape.epsilon, shape.cosine, shape.sine};
        heads.forward(n, w.query_gain, q, kept.q_scale, kept.q);
        heads.forward(n, w.key_gain, k, kept.k_scale, kept.k);
    }
    each_head(shape, [&](auto head, long at, long pattern) {
        head.forward(kept.q + at, kept.k + at, kept.v + at, kept.pattern + pattern, kept.mixed + at);
    });
    if (f) project(kept.mixed, w.output, w.output_bias, f);
}

// From the gradient g of f: that of x, added to g_x, which may be g, or overwriting it; those of the weights are added.
template <class T>
void attend_backward(AttendShape<T> shape, const T* g, const T* x, AttendWeights<const T> w, AttendKept<T> kept,
                     T* g_x, bool add, AttendWeights<T> g_w) {
    constexpr int L = LANES<T>;
    static thread_local Scratch<T> columns, right, between;
    const long n = shape.rows(), D = shape.width, K = D / shape.heads;
    T *g_mixed = between.of(4 * n * D), *g_q = g_mixed + n * D, *g_k = g_q + n * D, *g_v = g_k + n * D;
    auto turned = [&](const T* slopes, const T* matrix, T* result, bool add) {
        product<T, L>(n, D, D, {slopes, D, 1}, as_rows<T>({matrix, 1, D}, D, D, L, columns), result, D, {nullptr, add});
    };
    auto weight = [&](const T* left, const T* slopes, T* matrix, T* bias) {
        product<T, L>(D, D, n, {left, 1, D}, as_rows<T>({slopes, D, 1}, n, D, L, right), matrix, D, {nullptr, true});
        if (bias) add_column_sums(n, D, slopes, D, bias);
    };
    turned(g, w.output, g_mixed, false);
    weight(kept.mixed, g, g_w.output, g_w.output_bias);
    each_head(shape, [&](auto head, long at, long pattern) {
        head.backward(g_mixed + at, kept.q + at, kept.k + at, kept.v + at, kept.pattern + pattern, g_q + at, g_k + at,
                      g_v + at);
    });
    if (w.query_gain || shape.cosine) {
        const HeadShape<T> heads{shape.heads, K, shape.tokens, shape.epsilon, shape.cosine, shape.sine};
        heads.backward(n, w.query_gain, kept.q_raw, kept.q_scale, g_q, g_w.query_gain);
        heads.backward(n, w.key_gain, kept.k_raw, kept.k_scale, g_k, g_w.key_gain);
    }
    weight(x, g_q, g_w.query, g_w.query_bias);
    weight(x, g_k, g_w.key, g_w.key_bias);
    weight(x, g_v, g_w.value, g_w.value_bias);
    turned(g_q, w.query, g_x, add);
    turned(g_k, w.key, g_x, true);
    turned(g_v, w.value, g_x, true);
}
