// Queries and keys of each head as they meet: normalised by RMSNorm with a gain (Dehghani et al. 2023, arXiv 2302.05442)
// and turned by their positions (Su et al. 2021, arXiv 2104.09864, eq. 34), each where it is asked for.
#pragma once

#include <cmath>

// Gain and table are null where there is no norm and no turn.
template <class T> struct HeadShape {
    long heads, width, tokens;
    T epsilon;
    const T *cosine, *sine;  // (tokens, width), the second half like the first

    // q (rows, heads · width), in place; whole sequences. Kept for the backward pass unless null: `unit`, which is q
    // before its gain, and `scale` (rows, heads).
    void forward(long rows, const T* gain, T* q, T* unit, T* scale) const {
        for (long i = 0; i < rows; i++)
            for (long h = 0; h < heads; h++, q += width) {
                if (gain) {
                    T squares = 0;
                    for (long k = 0; k < width; k++) squares += q[k] * q[k];
                    const T by = 1 / std::sqrt(squares / width + epsilon);
                    for (long k = 0; k < width; k++) q[k] *= by;
                    if (unit) {
                        for (long k = 0; k < width; k++) unit[k] = q[k];
                        unit += width;
                        *scale++ = by;
                    }
                    for (long k = 0; k < width; k++) q[k] *= gain[k];
                }
                if (cosine) turn(i % tokens, q, T(1));
            }
    }

    // The gradient g of what came out, in place, to that of what went in; that of the gain is added to g_gain.
    void backward(long rows, const T* gain, T* g, const T* unit, const T* scale, T* g_gain) const {
        for (long i = 0; i < rows; i++)
            for (long h = 0; h < heads; h++, g += width) {
                if (cosine) turn(i % tokens, g, T(-1));
                if (!gain) continue;
                T along = 0;
                for (long k = 0; k < width; k++) {
                    g_gain[k] += g[k] * unit[k];
                    g[k] *= gain[k];
                    along += g[k] * unit[k];
                }
                const T tilt = along / width, by = *scale++;
                for (long k = 0; k < width; k++) g[k] = (g[k] - unit[k] * tilt) * by;
                unit += width;
            }
    }

  private:
    void turn(long t, T* q, T way) const {
        const long half = width / 2;
        const T *c = cosine + t * width, *s = sine + t * width;
        for (long k = 0; k < half; k++) {
            const T first = q[k], second = q[k + half], by = way * s[k];
            q[k] = first * c[k] - second * by;
            q[k + half] = second * c[k] + first * by;
        }
    }
};
