// What Python calls: each function does all members of a batch, one after the other. Compiled once for each REAL.
//
// Tensors are contiguous, but for the weights: member p's are `step` numbers after those of member p - 1. Weights that a
// model does not have are null, and so are their gradients.

#include "model.hpp"
#include "update.hpp"

typedef REAL Real;
typedef const REAL* In;
typedef REAL* Out;

// Where a member's part begins, unless there is none.
template <class P> P* at(P* first, long offset) { return first ? first + offset : nullptr; }

// What one member keeps from its forward to its backward pass.
static thread_local Arena<Real> arena;

// Of all members: the loss on their own batches, and the gradients. Members' parameters are `row` numbers apart.
extern "C" void model_gradient(const ModelPlan* plan, long members, long row, long sequences, In flat,
                               const int64_t* inputs, const int64_t* targets, Out loss, Out gradient) {
    for (long p = 0; p < members; p++, inputs += sequences * plan->tokens, targets += sequences * plan->targets)
        loss[p] = Model<Real>(*plan, flat + p * row, arena)
                      .gradient(sequences, inputs, targets, gradient + p * row, row);
}

// Of all members, on the same sequences: the sum of the losses, and how many targets are predicted.
extern "C" void model_score(const ModelPlan* plan, long members, long row, long sequences, In flat,
                            const int64_t* inputs, const int64_t* targets, double* loss, double* right) {
    for (long p = 0; p < members; p++) {
        auto score = Model<Real>(*plan, flat + p * row, arena).score(sequences, inputs, targets);
        loss[p] = score.loss, right[p] = score.right;
    }
}

extern "C" void attend_forward(long members, long sequences, long tokens, long D, long heads, long causal, long step,
                               double scale, double epsilon, In cosine, In sine, In x, In wq, In bq, In wk, In bk,
                               In wv, In bv, In wo, In bo, In gq, In gk, Out f) {
    for (long p = 0; p < members; p++) {
        const long w = p * step;
        const AttendWeights<const Real> weights{wq + w,    at(bq, w), wk + w,    at(bk, w), wv + w,
                                          at(bv, w), wo + w,    at(bo, w), at(gq, w), at(gk, w)};
        each_part(sequences, tokens, [&](long b, long count) {
            const AttendShape<Real> shape{count,       tokens,        D,      heads, causal != 0,
                                          Real(scale), Real(epsilon), cosine, sine};
            const long i = (p * sequences + b) * tokens * D;
            arena.rewind({});
            attend_forward<Real>(shape, x + i, weights,
                                 {arena.take(AttendKept<Real>::size(shape, gq)), shape, gq != nullptr}, f + i);
        });
    }
}

extern "C" void attend_backward(long members, long sequences, long tokens, long D, long heads, long causal, long step,
                                double scale, double epsilon, In cosine, In sine, In g, In x, In wq, In bq, In wk,
                                In bk, In wv, In bv, In wo, In bo, In gq, In gk, Out g_x, Out g_wq, Out g_bq, Out g_wk,
                                Out g_bk, Out g_wv, Out g_bv, Out g_wo, Out g_bo, Out g_gq, Out g_gk) {
    for (Out matrix : {g_wq, g_wk, g_wv, g_wo}) std::fill_n(matrix, members * D * D, Real(0));
    for (Out bias : {g_bq, g_bk, g_bv, g_bo})
        if (bias) std::fill_n(bias, members * D, Real(0));
    for (Out gain : {g_gq, g_gk})
        if (gain) std::fill_n(gain, members * (D / heads), Real(0));
    for (long p = 0; p < members; p++) {
        const long w = p * step, m = p * D * D, d = p * D, k = p * (D / heads);
        const AttendWeights<const Real> weights{wq + w,    at(bq, w), wk + w,    at(bk, w), wv + w,
                                          at(bv, w), wo + w,    at(bo, w), at(gq, w), at(gk, w)};
        each_part(sequences, tokens, [&](long b, long count) {
            const AttendShape<Real> shape{count,       tokens,        D,      heads, causal != 0,
                                          Real(scale), Real(epsilon), cosine, sine};
            const long i = (p * sequences + b) * tokens * D;
            arena.rewind({});
            const AttendKept<Real> kept(arena.take(AttendKept<Real>::size(shape, gq)), shape, gq != nullptr);
            attend_forward<Real>(shape, x + i, weights, kept, nullptr);
            attend_backward<Real>(shape, g + i, x + i, weights, kept, g_x + i, false,
                                  {g_wq + m, at(g_bq, d), g_wk + m, at(g_bk, d), g_wv + m, at(g_bv, d), g_wo + m,
                                   at(g_bo, d), at(g_gq, k), at(g_gk, k)});
        });
    }
}

extern "C" void ffn_forward(long members, long rows, long D, long F, long activation, long step, In x, In w1, In b1,
                            In w2, In b2, In w3, In b3, Out f) {
    for (long p = 0; p < members; p++) {
        const long w = p * step;
        const FfnWeights<const Real> weights{w1 + w, at(b1, w), w2 + w, at(b2, w), at(w3, w), at(b3, w)};
        each_part(rows, 1, [&](long row, long count) {
            const FfnShape shape{count, D, F, Activation(activation)};
            const long i = (p * rows + row) * D;
            arena.rewind({});
            ffn_forward<Real>(shape, x + i, weights,
                              {arena.take(FfnKept<Real>::size(shape, w3)), shape, w3 != nullptr}, f + i);
        });
    }
}

extern "C" void ffn_backward(long members, long rows, long D, long F, long activation, long step, In g, In x, In w1,
                              In b1, In w2, In b2, In w3, In b3, Out g_x, Out g_w1, Out g_b1, Out g_w2, Out g_b2,
                              Out g_w3, Out g_b3) {
    for (auto [slopes, size] : {std::pair{g_w1, D * F}, std::pair{g_w2, D * F}, std::pair{g_w3, D * F},
                                std::pair{g_b1, F}, std::pair{g_b2, D}, std::pair{g_b3, F}})
        if (slopes) std::fill_n(slopes, members * size, Real(0));
    for (long p = 0; p < members; p++) {
        const long w = p * step, m = p * D * F, b = p * F;
        const FfnWeights<const Real> weights{w1 + w, at(b1, w), w2 + w, at(b2, w), at(w3, w), at(b3, w)};
        each_part(rows, 1, [&](long row, long count) {
            const FfnShape shape{count, D, F, Activation(activation)};
            const long i = (p * rows + row) * D;
            arena.rewind({});
            const FfnKept<Real> kept(arena.take(FfnKept<Real>::size(shape, w3)), shape, w3 != nullptr);
            ffn_forward<Real>(shape, x + i, weights, kept, nullptr);
            ffn_backward<Real>(shape, g + i, x + i, weights, kept, g_x + i, false,
                               {g_w1 + m, at(g_b1, b), g_w2 + m, at(g_b2, p * D), at(g_w3, m), at(g_b3, b)});
        });
    }
}

extern "C" void norm_forward(long members, long rows, long D, long centred, long step, In x, In gain, In bias,
                             double epsilon, Out mean, Out scale, Out y) {
    for (long p = 0; p < members; p++) {
        long w = p * step, i = p * rows * D, r = p * rows;
        norm_forward<Real>({rows, D, centred != 0, Real(epsilon)}, x + i, gain + w, at(bias, w), mean + r, scale + r,
                           y + i);
    }
}

extern "C" void norm_backward(long members, long rows, long D, long centred, long step, In g, In x, In gain, In mean,
                              In scale, Out g_x, Out g_gain, Out g_bias) {
    for (long p = 0; p < members; p++) {
        long i = p * rows * D, r = p * rows, d = p * D;
        std::fill_n(g_gain + d, D, Real(0));
        if (g_bias) std::fill_n(g_bias + d, D, Real(0));
        norm_backward<Real>({rows, D, centred != 0, 0}, g + i, x + i, gain + p * step, mean + r, scale + r, g_x + i,
                            false, g_gain + d, at(g_bias, d));
    }
}

// With `most` infinite nothing is scaled.
extern "C" void clip(long members, long count, Out gradient, Out norm, double most) {
    for (long p = 0; p < members; p++) norm[p] = clip<Real>(count, gradient + p * count, Real(most));
}

// `row`: distance between the same number of two members, who may have more columns than these.
extern "C" void adamw(long members, long count, long row, Out flat, In gradient, Out mean, Out square, In rate,
                      double beta1, double beta2, double epsilon, double decay, double correction1,
                      double correction2) {
    Step<Real> step{Real(beta1),  Real(beta2),       Real(epsilon),
                    Real(decay), Real(correction1), Real(correction2)};
    for (long p = 0; p < members; p++) {
        long i = p * row;
        adamw<Real>(count, flat + i, gradient + i, mean + i, square + i, rate[p], step);
    }
}
