// A whole training step of one member, from its tokens to the gradient of its parameters, and its evaluation: all that
// one member's step needs stays in the cache until it is used again.
#pragma once

#include <cmath>
#include <limits>

#include "sublayer.hpp"

template <class T> class Model {
    const ModelPlan& plan;
    Member<const T> w;
    Arena<T>& arena;

  public:
    Model(const ModelPlan& plan, const T* row, Arena<T>& arena) : plan(plan), w{row}, arena(arena) {}

    // Mean cross-entropy on the targets, of which negative ones do not count; the gradient of all parameters is
    // overwritten.
    T gradient(long sequences, const int64_t* inputs, const int64_t* targets, T* g_row, long parameters) {
        const long counted =
            std::count_if(targets, targets + sequences * plan.targets, [](int64_t target) { return target >= 0; });
        std::fill_n(g_row, parameters, T(0));
        double loss = 0;
        each_part(sequences, plan.tokens, [&](long b, long count) {
            const int64_t *part = inputs + b * plan.tokens, *wanted = targets + b * plan.targets;
            loss += add_gradient(count, part, wanted, T(1) / T(counted), {g_row});
        });
        return T(loss / counted);
    }

    // Sum of the cross-entropies of the targets that count, and how many of all are predicted.
    struct Score {
        double loss, right;
    };
    Score score(long sequences, const int64_t* inputs, const int64_t* targets) {
        Score total{0, 0};
        each_part(sequences, plan.tokens, [&](long b, long count) {
            arena.rewind({});
            T *x = arena.take(count * plan.tokens * plan.width), *y = arena.take(count * plan.tokens * plan.width);
            embed(count, inputs + b * plan.tokens, x);
            const auto kept = arena.mark();
            for (long i = 0; i < plan.num_sublayers; i++, std::swap(x, y)) {
                Sublayer<T>(plan, plan.sublayers[i], count).forward(w, x, y, arena);
                arena.rewind(kept);
            }
            LogitHead head(*this, count, x);
            for (long i = 0; i < head.rows; i++) {
                const int64_t target = targets[b * plan.targets + i];
                total.right += head.prediction(i) == target;
                total.loss += head.cross_entropy(i, target, T(1));
            }
        });
        return total;
    }

  private:
    // Adds the gradient of `share` times the sum of the cross-entropies, which is returned.
    double add_gradient(long sequences, const int64_t* inputs, const int64_t* targets, T share, Member<T> g_w) {
        const long size = sequences * plan.tokens * plan.width;
        arena.rewind({});
        T* x = arena.take(size);
        embed(sequences, inputs, x);
        std::vector<Sublayer<T>> sublayers;
        sublayers.reserve(plan.num_sublayers);
        for (long i = 0; i < plan.num_sublayers; i++) {
            sublayers.emplace_back(plan, plan.sublayers[i], sequences);
            T* y = arena.take(size);
            sublayers.back().forward(w, x, y, arena);
            x = y;
        }
        LogitHead head(*this, sequences, x);
        double loss = 0;
        for (long i = 0; i < head.rows; i++) loss += head.cross_entropy(i, targets[i], share);
        T *g = arena.take(size), *spare = arena.take(size), *other = arena.take(size);
        head.backward(g_w, g);
        for (long i = plan.num_sublayers - 1; i >= 0; i--) sublayers[i].backward(w, g_w, g, spare, other);
        embedding_gradient(sequences, inputs, g, g_w);
        return loss;
    }

    // x = scale · token + position
    void embed(long sequences, const int64_t* inputs, T* x) const {
        constexpr int L = LANES<T>;
        const long D = plan.width;
        const T* positions = plan.position >= 0 ? w.at(plan.position) : (const T*)plan.positions;
        for (long b = 0; b < sequences; b++)
            for (long t = 0; t < plan.tokens; t++, x += D) {
                const T* token = w.at(plan.token) + inputs[b * plan.tokens + t] * D;
                for (long j = 0; j < D; j += L) {
                    Vector<T, L> v = load<L>(token + j, D - j) * T(plan.embedding_scale);
                    if (positions) v += load<L>(positions + t * D + j, D - j);
                    store(x + j, v, D - j);
                }
            }
    }

    void embedding_gradient(long sequences, const int64_t* inputs, const T* g, Member<T> g_w) const {
        constexpr int L = LANES<T>;
        const long D = plan.width;
        T *tokens = g_w.at(plan.token), *positions = g_w.at(plan.position);
        for (long b = 0; b < sequences; b++)
            for (long t = 0; t < plan.tokens; t++, g += D)
                for (long j = 0; j < D; j += L) {
                    const Vector<T, L> slope = load<L>(g + j, D - j);
                    T* token = tokens + inputs[b * plan.tokens + t] * D + j;
                    add_to(token, slope * T(plan.embedding_scale), D - j);
                    if (positions) add_to(positions + t * D + j, slope, D - j);
                }
    }

    // The last norm and the head, on the rows that have a target. Rows of logits are padded to whole vectors with -inf.
    struct LogitHead {
        const ModelPlan& plan;
        Member<const T> w;
        Arena<T>& arena;
        long sequences, rows, D, V, across;
        NormOf<T> norm;
        T *z, *logits;

        LogitHead(Model& model, long sequences, const T* x)
            : plan(model.plan), w(model.w), arena(model.arena), sequences(sequences),
              rows(sequences * plan.targets), D(plan.width), V(plan.vocabulary), across(padded(V, LANES<T>)),
              norm{plan.last, {rows, D, plan.centred != 0, T(plan.norm_epsilon)}}, z(arena.take(rows * D)),
              logits(arena.take(rows * across)) {
            constexpr int L = LANES<T>;
            static thread_local Scratch<T> matrix_rows, bias_row;
            for (long b = 0; b < sequences; b++)
                std::copy_n(x + ((b + 1) * plan.tokens - plan.targets) * D, plan.targets * D, z + b * plan.targets * D);
            if (norm) {
                T* normed = arena.take(rows * D);
                norm.forward(w, z, normed, arena);
                z = normed;
            }
            if (plan.logit_scale != 1) scale_rows<T>(rows, D, plan.logit_scale, nullptr, 0, z, z, false);
            T* bias = bias_row.of(across);
            std::fill_n(bias, across, -std::numeric_limits<T>::infinity());
            if (plan.head_bias >= 0)
                std::copy_n(w.at(plan.head_bias), V, bias);
            else
                std::fill_n(bias, V, T(0));
            product<T, L>(rows, across, D, {z, D, 1}, as_rows<T>(matrix(), D, V, L, matrix_rows), logits, across,
                          {bias});
        }

        View<T> matrix() const {
            return plan.tied ? View<T>{w.at(plan.token), 1, D} : View<T>{w.at(plan.head), V, 1};
        }

        // The symbol of the largest logit, or of the first that is not a number.
        long prediction(long i) const {
            const T* row = logits + i * across;
            long best = 0;
            for (long v = 0; v < V; v++) {
                if (row[v] != row[v]) return v;
                if (row[v] > row[best]) best = v;
            }
            return best;
        }

        // Of one row, whose logits become their gradient times `share`.
        double cross_entropy(long i, int64_t target, T share) {
            constexpr int L = LANES<T>;
            T* row = logits + i * across;
            if (target < 0) {
                std::fill_n(row, across, T(0));
                return 0;
            }
            Vector<T, L> most_L = load<L>(row), total_L{};
            for (long v = L; v < across; v += L) most_L = larger(load<L>(row + v), most_L);
            T most = most_L[0];
            for (int lane = 1; lane < L; lane++) most = most_L[lane] > most ? most_L[lane] : most;
            const T right = row[target];
            for (long v = 0; v < across; v += L) {
                const Vector<T, L> power = exponential<L>(load<L>(row + v) - most);
                total_L += power;
                store(row + v, power);
            }
            const T total = sum<T, L>(total_L);
            for (long v = 0; v < across; v += L) store(row + v, load<L>(row + v) * (share / total));
            row[target] -= share;
            return double(std::log(total) + (most - right));
        }

        // -> the gradient of the stream, g (rows of all tokens, D).
        void backward(Member<T> g_w, T* g) {
            constexpr int L = LANES<T>;
            static thread_local Scratch<T> matrix_columns, right;
            T* g_z = arena.take(rows * D);
            product<T, L>(rows, D, V, {logits, across, 1},
                          as_rows<T>({matrix().at, matrix().column, matrix().row}, V, D, L, matrix_columns), g_z, D);
            if (plan.tied)
                product<T, L>(V, D, rows, {logits, 1, across}, as_rows<T>({z, D, 1}, rows, D, L, right),
                              g_w.at(plan.token), D, {nullptr, true});
            else
                product<T, L>(D, V, rows, {z, 1, D}, {logits, across}, g_w.at(plan.head), V, {nullptr, true});
            if (plan.head_bias >= 0) {
                T* bias = g_w.at(plan.head_bias);
                for (long v = 0; v < V; v += L) {
                    Vector<T, L> total{};
                    for (long i = 0; i < rows; i++) total += load<L>(logits + i * across + v);
                    add_to(bias + v, total, V - v);
                }
            }
            if (plan.logit_scale != 1) scale_rows<T>(rows, D, plan.logit_scale, nullptr, 0, g_z, g_z, false);
            if (norm) norm.backward(w, g_w, g_z, g_z, false);
            std::fill_n(g, sequences * plan.tokens * D, T(0));
            for (long b = 0; b < sequences; b++)
                std::copy_n(g_z + b * plan.targets * D, plan.targets * D,
                            g + ((b + 1) * plan.tokens - plan.targets) * D);
        }
    };
};
