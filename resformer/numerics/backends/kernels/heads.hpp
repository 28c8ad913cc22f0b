// Queries and keys of each head as they meet: normalised by RMSNorm with a gain (Dehghani et al. 2023, arXiv 2302.05442)
// and turned by their positions (Su et al. 2021, arXiv 2104.09864, eq. 34), each where it is asked for.
#pragma once

#include "norm.hpp"

// Gain and table are null where there is no norm and no turn.
template <class T> struct HeadShape {
    long heads, width, tokens;
    T epsilon;
    const T *cosine, *sine;  // (tokens, width), the second half like the first

    // raw (rows, heads · width) -> q, which is `raw` where there is no norm; whole sequences. Kept for the backward
    // pass of the norm: raw, and `scale` (rows, heads).
    void forward(long rows, const T* gain, const T* raw, T* scale, T* q) const {
        if (gain) norm_forward<T>(norm(rows), raw, gain, nullptr, nullptr, scale, q);
        if (cosine) turn(rows, q, T(1));
    }

    // The gradient g of q, in place, to that of raw; that of the gain is added to g_gain.
    void backward(long rows, const T* gain, const T* raw, const T* scale, T* g, T* g_gain) const {
        if (cosine) turn(rows, g, T(-1));
        if (gain) norm_backward<T>(norm(rows), g, raw, gain, nullptr, scale, g, false, g_gain, nullptr);
    }

  private:
    NormShape<T> norm(long rows) const { return {rows * heads, width, false, epsilon}; }

    void turn(long rows, T* q, T way) const {
        with_lanes<T>(width, [&](auto lanes) {
            constexpr int L = decltype(lanes)::value / 2;
            const long half = width / 2;
            for (long i = 0, t = 0; i < rows; i++, t = t + 1 < tokens ? t + 1 : 0)
                for (long h = 0; h < heads; h++, q += width)
                    for (long k = 0; k < half; k += L) {
                        const T *c = cosine + t * width + k, *s = sine + t * width + k;
                        const Vector<T, L> first = load<L>(q + k, half - k), second = load<L>(q + half + k, half - k);
                        const Vector<T, L> along = load<L>(c, half - k), across = load<L>(s, half - k) * way;
                        store(q + k, first * along - second * across, half - k);
                        store(q + half + k, second * along + first * across, half - k);
                    }
        });
    }
};
