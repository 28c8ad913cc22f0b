// One sub-layer of one member, between the stream that it reads and the one that it leaves.
#pragma once

#include <utility>

#include "arena.hpp"
#include "attend.hpp"
#include "ffn.hpp"
#include "norm.hpp"
#include "plan.hpp"

// A member's parameters, or their gradients: the number at a column, null where there is none.
template <class T> struct Member {
    T* row;
    T* at(long column) const { return column < 0 ? nullptr : row + column; }
};

// One norm, where the plan has it.
template <class T> struct NormOf {
    NormPlan plan;
    NormShape<T> shape;
    const T* x = nullptr;
    T *mean = nullptr, *scale = nullptr;

    explicit operator bool() const { return plan.gain >= 0; }

    void forward(Member<const T> w, const T* from, T* y, Arena<T>& arena) {
        x = from, mean = arena.take(shape.rows), scale = arena.take(shape.rows);
        norm_forward<T>(shape, x, w.at(plan.gain), w.at(plan.bias), mean, scale, y);
    }
    void backward(Member<const T> w, Member<T> g_w, const T* g, T* g_x, bool add) const {
        norm_backward<T>(shape, g, x, w.at(plan.gain), mean, scale, g_x, add, g_w.at(plan.gain), g_w.at(plan.bias));
    }
};

// y = factor · learned · x, or added to y; x may be y.
template <class T>
void scale_rows(long rows, long D, double factor, const T* learned, long count, const T* x, T* y, bool add) {
    constexpr int L = LANES<T>;
    for (long j = 0; j < D; j += L) {
        Vector<T, L> by = Vector<T, L>{} + T(factor);
        if (count == 1) by *= *learned;
        if (count > 1) by *= load<L>(learned + j, D - j);
        for (long i = j; i < rows * D + j; i += D) {
            Vector<T, L> v = load<L>(x + i, D - j) * by;
            if (add) v += load<L>(y + i, D - j);
            store(y + i, v, D - j);
        }
    }
}

template <class T> class Sublayer {
    const ModelPlan& model;
    const SublayerPlan& plan;
    long sequences, rows, D;
    NormOf<T> in, branch_norm, out;
    const T *x = nullptr, *h = nullptr, *f = nullptr;
    T* kept = nullptr;

  public:
    Sublayer(const ModelPlan& model, const SublayerPlan& plan, long sequences)
        : model(model), plan(plan), sequences(sequences), rows(sequences * model.tokens), D(model.width) {
        const NormShape<T> shape{rows, D, model.centred != 0, T(model.norm_epsilon)};
        in = {plan.norm_in, shape}, branch_norm = {plan.norm_branch, shape}, out = {plan.norm_out, shape};
    }

    // x (rows, D) -> y (rows, D). What the backward pass needs stays in the arena.
    void forward(Member<const T> w, const T* from, T* y, Arena<T>& arena) {
        x = h = from;
        if (in) {
            T* normed = arena.take(rows * D);
            in.forward(w, x, normed, arena);
            h = normed;
        }
        if (plan.input_scale != 1) {
            T* scaled = arena.take(rows * D);
            scale_rows<T>(rows, D, plan.input_scale, nullptr, 0, h, scaled, false);
            h = scaled;
        }
        T* sum = out ? arena.take(rows * D) : y;
        T* f_to = plan.branch.count ? arena.take(rows * D) : sum;  // its gradient needs f
        T* before = branch_norm ? arena.take(rows * D) : f_to;
        apply(w, before, arena);
        if (branch_norm) branch_norm.forward(w, before, f_to, arena);
        f = f_to;
        if (weighs(plan.branch)) scaled(w, plan.branch, f, sum, false);
        if (has_skip()) scaled(w, plan.skip, x, sum, true);
        if (out) out.forward(w, sum, y, arena);
    }

    // The gradient of y -> that of x, in g, which may be exchanged for `spare`; those of the weights are added. `spare`
    // and `other` (rows, D) are overwritten.
    void backward(Member<const T> w, Member<T> g_w, T*& g, T*& spare, T* other) {
        if (out) out.backward(w, g_w, g, g, false);
        if (plan.branch.count) weight_gradient(plan.branch, g, f, g_w);
        if (plan.skip.count) weight_gradient(plan.skip, g, x, g_w);
        const T* g_f = g;
        if (weighs(plan.branch)) scaled(w, plan.branch, g, other, false), g_f = other;
        if (branch_norm) branch_norm.backward(w, g_w, g_f, other, false), g_f = other;
        const bool straight = has_skip() && !weighs(plan.skip) && !in && plan.input_scale == 1;
        differentiate(w, g_w, g_f, straight ? g : spare, straight);
        if (straight) return;
        if (plan.input_scale != 1) scale_rows<T>(rows, D, plan.input_scale, nullptr, 0, spare, spare, false);
        if (!has_skip() && !in) return std::swap(g, spare);
        if (weighs(plan.skip) && has_skip()) scaled(w, plan.skip, g, g, false);
        if (in)
            in.backward(w, g_w, spare, g, has_skip());
        else
            scale_rows<T>(rows, D, 1, nullptr, 0, spare, g, true);
    }

  private:
    static bool weighs(WeightPlan weight) { return weight.factor != 1 || weight.count; }
    bool has_skip() const { return plan.skip.factor != 0; }

    void scaled(Member<const T> w, WeightPlan weight, const T* from, T* to, bool add) const {
        scale_rows<T>(rows, D, weight.factor, w.at(weight.column), weight.count, from, to, add);
    }

    // Adds the gradient of the learned numbers of a weight, g being that of weight · v.
    void weight_gradient(WeightPlan weight, const T* g, const T* v, Member<T> g_w) const {
        constexpr int L = LANES<T>;
        T total = 0;
        for (long j = 0; j < D; j += L) {
            Vector<T, L> along{};
            for (long i = j; i < rows * D + j; i += D) along += load<L>(g + i, D - j) * load<L>(v + i, D - j);
            along *= T(weight.factor);
            if (weight.count > 1)
                add_to(g_w.at(weight.column) + j, along, D - j);
            else
                total += sum<T, L>(along);
        }
        if (weight.count == 1) *g_w.at(weight.column) += total;
    }

    AttendShape<T> attend_shape() const {
        return {sequences,
                model.tokens,
                D,
                model.heads,
                model.causal != 0,
                T(model.attention_scale),
                T(model.head_epsilon),
                (const T*)model.cosine,
                (const T*)model.sine};
    }
    FfnShape ffn_shape() const { return {rows, D, model.hidden, Activation(model.activation)}; }

    // The weights of the branch, or their gradients.
    template <class U> AttendWeights<U> attention(Member<U> w) const {
        auto at = [&](int i) { return w.at(plan.weights[i]); };
        return {at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8), at(9)};
    }
    template <class U> FfnWeights<U> ffn(Member<U> w) const {
        auto at = [&](int i) { return w.at(plan.weights[i]); };
        return {at(0), at(1), at(2), at(3), at(4), at(5)};
    }
    bool normed() const { return plan.attention && plan.weights[8] >= 0; }
    bool gated() const { return !plan.attention && plan.weights[4] >= 0; }

    // f = F(h)
    void apply(Member<const T> w, T* to, Arena<T>& arena) {
        if (plan.attention) {
            const AttendShape<T> shape = attend_shape();
            kept = arena.take(AttendKept<T>::size(shape, normed()));
            attend_forward<T>(shape, h, attention(w), {kept, shape, normed()}, to);
        } else {
            kept = arena.take(FfnKept<T>::size(ffn_shape(), gated()));
            ffn_forward<T>(ffn_shape(), h, ffn(w), {kept, ffn_shape(), gated()}, to);
        }
    }

    // The gradient of f -> that of h, and those of the weights.
    void differentiate(Member<const T> w, Member<T> g_w, const T* g, T* g_h, bool add) const {
        if (plan.attention) {
            const AttendShape<T> shape = attend_shape();
            attend_backward<T>(shape, g, h, attention(w), {kept, shape, normed()}, g_h, add, attention(g_w));
        } else {
            ffn_backward<T>(ffn_shape(), g, h, ffn(w), {kept, ffn_shape(), gated()}, g_h, add, ffn(g_w));
        }
    }
};
