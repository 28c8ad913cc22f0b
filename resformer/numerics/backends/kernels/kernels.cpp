// What Python calls: each function does all members of a batch, one after the other. Compiled once for each REAL.
//
// Tensors are contiguous, but for the weights: member p's are `step` numbers after those of member p - 1.

#include "attend.hpp"
#include "ffn.hpp"
#include "norm.hpp"
#include "update.hpp"

typedef REAL Real;
typedef const REAL* In;
typedef REAL* Out;

extern "C" void attend_forward(long members, long sequences, long tokens, long D, long heads, long causal, long step,
                               In x, In wq, In bq, In wk, In bk, In wv, In bv, In wo, In bo, Out mixed, Out peaks,
                               Out f) {
    AttendShape shape{sequences, tokens, D, heads, causal != 0};
    for (long p = 0; p < members; p++) {
        long w = p * step, i = p * sequences * tokens * D, j = 2 * p * sequences * tokens * heads;
        attend_forward<Real>(shape, x + i, {wq + w, bq + w, wk + w, bk + w, wv + w, bv + w, wo + w, bo + w}, mixed + i,
                             peaks + j, f + i);
    }
}

extern "C" void attend_backward(long members, long sequences, long tokens, long D, long heads, long causal, long step,
                                In g, In x, In mixed, In peaks, In wq, In bq, In wk, In bk, In wv, In bv, In wo,
                                Out g_x, Out g_wq, Out g_bq, Out g_wk, Out g_bk, Out g_wv, Out g_bv, Out g_wo,
                                Out g_bo) {
    AttendShape shape{sequences, tokens, D, heads, causal != 0};
    for (long p = 0; p < members; p++) {
        long w = p * step, i = p * sequences * tokens * D, j = 2 * p * sequences * tokens * heads, m = p * D * D;
        long b = p * D;
        attend_backward<Real>(shape, g + i, x + i, mixed + i, peaks + j,
                              {wq + w, bq + w, wk + w, bk + w, wv + w, bv + w, wo + w, nullptr}, g_x + i,
                              {g_wq + m, g_bq + b, g_wk + m, g_bk + b, g_wv + m, g_bv + b, g_wo + m, g_bo + b});
    }
}

extern "C" void ffn_forward(long members, long rows, long D, long F, long step, In x, In w1, In b1, In w2, In b2,
                             Out f) {
    for (long p = 0; p < members; p++) {
        long w = p * step, i = p * rows * D;
        ffn_forward<Real>(rows, D, F, x + i, {w1 + w, b1 + w, w2 + w, b2 + w}, f + i);
    }
}

extern "C" void ffn_backward(long members, long rows, long D, long F, long step, In g, In x, In w1, In b1, In w2,
                              Out g_x, Out g_w1, Out g_b1, Out g_w2, Out g_b2) {
    for (long p = 0; p < members; p++) {
        long w = p * step, i = p * rows * D, m = p * D * F;
        ffn_backward<Real>(rows, D, F, g + i, x + i, {w1 + w, b1 + w, w2 + w, nullptr}, g_x + i,
                            {g_w1 + m, g_b1 + p * F, g_w2 + m, g_b2 + p * D});
    }
}

extern "C" void norm_forward(long members, long rows, long D, long step, In x, In gain, In bias, double epsilon,
                             Out mean, Out scale, Out y) {
    for (long p = 0; p < members; p++) {
        long w = p * step, i = p * rows * D, r = p * rows;
        norm_forward<Real>(rows, D, x + i, gain + w, bias + w, Real(epsilon), mean + r, scale + r, y + i);
    }
}

extern "C" void norm_backward(long members, long rows, long D, long step, In g, In x, In gain, In mean, In scale,
                              Out g_x, Out g_gain, Out g_bias) {
    for (long p = 0; p < members; p++) {
        long i = p * rows * D, r = p * rows, d = p * D;
        norm_backward<Real>(rows, D, g + i, x + i, gain + p * step, mean + r, scale + r, g_x + i, g_gain + d,
                            g_bias + d);
    }
}

extern "C" void update(long members, long count, Out flat, In gradient, Out mean, Out square, In rate, Out norm,
                       double most, double beta1, double beta2, double epsilon, double decay, double correction1,
                       double correction2) {
    Step<Real> step{Real(most), Real(beta1), Real(beta2), Real(epsilon), Real(decay), Real(correction1),
                    Real(correction2)};
    for (long p = 0; p < members; p++) {
        long i = p * count;
        norm[p] = update<Real>(count, flat + i, gradient + i, mean + i, square + i, rate[p], step);
    }
}
