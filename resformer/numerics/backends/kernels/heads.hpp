// Queries and keys of each head as they meet: normalised by RMSNorm with a gain (Dehghani et al. 2023, arXiv 2302.05442)
// and turned by their positions (Su et al. 2021, arXiv 2104.09864, eq. 34), each where it is asked for.
#pragma once

#include "vector.hpp"

// Gain and table are null where there is no norm and no turn.
template <class T> struct HeadShape {
    long heads, width, tokens;
    T epsilon;
    const T *cosine, *sine;  // (tokens, width), the second half like the first

    // q (rows, heads · width), in place; whole sequences. Kept for the backward pass unless null: `unit`, which is q
    // before its gain, and `scale` (rows, heads).
    void forward(long rows, const T* gain, T* q, T* unit, T* scale) const {
        with_lanes<T>(width, [&](auto lanes) {
            constexpr int L = decltype(lanes)::value;
            for (long i = 0, t = 0; i < rows; i++, t = t + 1 < tokens ? t + 1 : 0)
                for (long h = 0; h < heads; h++, q += width) {
                    if (gain) {
                        Vector<T, L> squares{};
                        for (long k = 0; k < width; k += L) {
                            Vector<T, L> part = load<L>(q + k, width - k);
                            squares += part * part;
                        }
                        const T by = 1 / std::sqrt(sum<T, L>(squares) / width + epsilon);
                        for (long k = 0; k < width; k += L) {
                            Vector<T, L> part = load<L>(q + k, width - k) * by;
                            if (unit) store(unit + k, part, width - k);
                            store(q + k, part * load<L>(gain + k, width - k), width - k);
                        }
                        if (unit) unit += width, *scale++ = by;
                    }
                    if (cosine) turn<L / 2>(t, q, T(1));
                }
        });
    }

    // The gradient g of what came out, in place, to that of what went in; that of the gain is added to g_gain.
    void backward(long rows, const T* gain, T* g, const T* unit, const T* scale, T* g_gain) const {
        with_lanes<T>(width, [&](auto lanes) {
            constexpr int L = decltype(lanes)::value;
            const long all = rows * heads;
            if (cosine)
                for (long i = 0, t = 0; i < all; t = t + 1 < tokens ? t + 1 : 0)
                    for (long h = 0; h < heads; h++, i++) turn<L / 2>(t, g + i * width, T(-1));
            if (!gain) return;
            for (long k = 0; k < width; k += L) {
                Vector<T, L> total = load<L>(g_gain + k, width - k);
                for (long i = 0; i < all; i++)
                    total += load<L>(g + i * width + k, width - k) * load<L>(unit + i * width + k, width - k);
                store(g_gain + k, total, width - k);
            }
            for (long i = 0; i < all; i++, g += width, unit += width) {
                Vector<T, L> along{};
                for (long k = 0; k < width; k += L)
                    along += load<L>(g + k, width - k) * load<L>(gain + k, width - k) * load<L>(unit + k, width - k);
                const T tilt = sum<T, L>(along) / width;
                for (long k = 0; k < width; k += L) {
                    Vector<T, L> pulled = load<L>(g + k, width - k) * load<L>(gain + k, width - k);
                    store(g + k, (pulled - load<L>(unit + k, width - k) * tilt) * scale[i], width - k);
                }
            }
        });
    }

  private:
    template <int L> void turn(long t, T* q, T way) const {
        const long half = width / 2;
        const T *c = cosine + t * width, *s = sine + t * width;
        for (long k = 0; k < half; k += L) {
            const Vector<T, L> first = load<L>(q + k, half - k), second = load<L>(q + half + k, half - k);
            const Vector<T, L> along = load<L>(c + k, half - k), across = load<L>(s + k, half - k) * way;
            store(q + k, first * along - second * across, half - k);
            store(q + half + k, second * along + first * across, half - k);
        }
    }
};
