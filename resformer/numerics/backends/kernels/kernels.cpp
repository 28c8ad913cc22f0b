// What Python calls: each function does all members of a batch, one after the other. Compiled once for each REAL.
//
// Tensors are contiguous, but for the weights: member p's are `step` numbers after those of member p - 1. Weights that a
// model does not have are null, and so are their gradients.

#include "attend.hpp"
#include "ffn.hpp"
#include "norm.hpp"
#include "update.hpp"

typedef REAL Real;
typedef const REAL* In;
typedef REAL* Out;

// Where a member's part begins, unless there is none.
template <class P> P* at(P* first, long offset) { return first ? first + offset : nullptr; }

extern "C" void attend_forward(long members, long sequences, long tokens, long D, long heads, long causal, long step,
                               double scale, double epsilon, In cosine, In sine, In x, In wq, In bq, In wk, In bk,
                               In wv, In bv, In wo, In bo, In gq, In gk, Out mixed, Out peaks, Out f) {
    AttendShape<Real> shape{sequences,   tokens,        D,      heads, causal != 0,
                            Real(scale), Real(epsilon), cosine, sine};
    for (long p = 0; p < members; p++) {
        long w = p * step, i = p * sequences * tokens * D, j = 2 * p * sequences * tokens * heads;
        attend_forward<Real>(shape, x + i,
                             {wq + w, at(bq, w), wk + w, at(bk, w), wv + w, at(bv, w), wo + w, at(bo, w), at(gq, w),
                              at(gk, w)},
                             mixed + i, peaks + j, f + i);
    }
}

extern "C" void attend_backward(long members, long sequences, long tokens, long D, long heads, long causal, long step,
                                double scale, double epsilon, In cosine, In sine, In g, In x, In mixed, In peaks, In wq,
                                In bq, In wk, In bk, In wv, In bv, In wo, In bo, In gq, In gk, Out g_x, Out g_wq,
                                Out g_bq, Out g_wk, Out g_bk, Out g_wv, Out g_bv, Out g_wo, Out g_bo, Out g_gq,
                                Out g_gk) {
    AttendShape<Real> shape{sequences,   tokens,        D,      heads, causal != 0,
                            Real(scale), Real(epsilon), cosine, sine};
    for (long p = 0; p < members; p++) {
        long w = p * step, i = p * sequences * tokens * D, j = 2 * p * sequences * tokens * heads, m = p * D * D;
        long b = p * D, k = p * (D / heads);
        attend_backward<Real>(shape, g + i, x + i, mixed + i, peaks + j,
                              {wq + w, at(bq, w), wk + w, at(bk, w), wv + w, at(bv, w), wo + w, at(bo, w), at(gq, w),
                               at(gk, w)},
                              g_x + i,
                              {g_wq + m, at(g_bq, b), g_wk + m, at(g_bk, b), g_wv + m, at(g_bv, b), g_wo + m,
                               at(g_bo, b), at(g_gq, k), at(g_gk, k)});
    }
}

extern "C" void ffn_forward(long members, long rows, long D, long F, long activation, long step, In x, In w1, In b1,
                            In w2, In b2, In w3, In b3, Out f) {
    FfnShape shape{rows, D, F, Activation(activation)};
    for (long p = 0; p < members; p++) {
        long w = p * step, i = p * rows * D;
        ffn_forward<Real>(shape, x + i, {w1 + w, at(b1, w), w2 + w, at(b2, w), at(w3, w), at(b3, w)}, f + i);
    }
}

extern "C" void ffn_backward(long members, long rows, long D, long F, long activation, long step, In g, In x, In w1,
                              In b1, In w2, In b2, In w3, In b3, Out g_x, Out g_w1, Out g_b1, Out g_w2, Out g_b2,
                              Out g_w3, Out g_b3) {
    FfnShape shape{rows, D, F, Activation(activation)};
    for (long p = 0; p < members; p++) {
        long w = p * step, i = p * rows * D, m = p * D * F, b = p * F;
        ffn_backward<Real>(shape, g + i, x + i, {w1 + w, at(b1, w), w2 + w, at(b2, w), at(w3, w), at(b3, w)}, g_x + i,
                            {g_w1 + m, at(g_b1, b), g_w2 + m, at(g_b2, p * D), at(g_w3, m), at(g_b3, b)});
    }
}

extern "C" void norm_forward(long members, long rows, long D, long centred, long step, In x, In gain, In bias,
                             double epsilon, Out mean, Out scale, Out y) {
    for (long p = 0; p < members; p++) {
        long w = p * step, i = p * rows * D, r = p * rows;
        norm_forward<Real>(rows, D, centred != 0, x + i, gain + w, at(bias, w), Real(epsilon), mean + r, scale + r,
                           y + i);
    }
}

extern "C" void norm_backward(long members, long rows, long D, long centred, long step, In g, In x, In gain, In mean,
                              In scale, Out g_x, Out g_gain, Out g_bias) {
    for (long p = 0; p < members; p++) {
        long i = p * rows * D, r = p * rows, d = p * D;
        norm_backward<Real>(rows, D, centred != 0, g + i, x + i, gain + p * step, mean + r, scale + r, g_x + i,
                            g_gain + d, at(g_bias, d));
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
