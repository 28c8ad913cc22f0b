// Layer norm (Ba et al. 2016, arXiv 1607.06450) and RMSNorm (Zhang & Sennrich 2019, arXiv 1910.07467) over the D columns
// of each row, with a gain, and a bias unless it is null. RMSNorm leaves the mean where it is.
#pragma once

#include <algorithm>

#include "product.hpp"

template <class T> struct NormShape {
    long rows, D;
    bool centred;
    T epsilon;
};

// The sum of `term`(row, column) over the columns of L rows, a lane per row; those beyond `rows` are 0.
template <class T, int L, class Term>
inline __attribute__((always_inline)) Vector<T, L> row_sums(long rows, long D, Term term) {
    Vector<T, L> parts[L];
#pragma GCC unroll 16
    for (int row = 0; row < L; row++) {
        parts[row] = Vector<T, L>{};
        if (row < rows)
            for (long j = 0; j < D; j += L) parts[row] += term(row, j);
    }
    return sums<L>(parts);
}

template <class T, int L>
void norm_forward_by(NormShape<T> shape, const T* x, const T* gain, const T* bias, T* mean, T* scale, T* y) {
    const long D = shape.D;
    for (long i = 0; i < shape.rows; i += L) {
        const long rows = std::min<long>(L, shape.rows - i);
        const T* x_i = x + i * D;
        Vector<T, L> middle{};
        if (shape.centred) {
            auto number = [&](int row, long j) { return load<L>(x_i + row * D + j, D - j); };
            middle = row_sums<T, L>(rows, D, number) / T(D);
        }
        const Vector<T, L> squares = row_sums<T, L>(rows, D, [&](int row, long j) {
            Vector<T, L> away = load<L>(x_i + row * D + j, D - j) - middle[row];
            for (long lane = D - j; lane < L; lane++) away[lane] = 0;
            return away * away;
        });
        Vector<T, L> by = squares / T(D) + shape.epsilon;
        for (int row = 0; row < L; row++) by[row] = std::sqrt(by[row]);
        by = 1 / by;
        if (shape.centred) store(mean + i, middle, rows);
        store(scale + i, by, rows);
        for (long j = 0; j < D; j += L) {
            const Vector<T, L> gain_j = load<L>(gain + j, D - j);
            const Vector<T, L> bias_j = bias ? load<L>(bias + j, D - j) : Vector<T, L>{};
            for (long row = 0; row < rows; row++) {
                const Vector<T, L> unit = (load<L>(x_i + row * D + j, D - j) - middle[row]) * by[row];
                store(y + (i + row) * D + j, unit * gain_j + bias_j, D - j);
            }
        }
    }
}

template <class T, int L>
void norm_backward_by(NormShape<T> shape, const T* g, const T* x, const T* gain, const T* mean, const T* scale, T* g_x,
                      bool add, T* g_gain, T* g_bias) {
    const long D = shape.D;
    for (long i = 0; i < shape.rows; i += L, g += L * D, x += L * D, g_x += L * D) {
        const long rows = std::min<long>(L, shape.rows - i);
        const T* scale_i = scale + i;
        auto middle = [&](long row) { return shape.centred ? mean[i + row] : T(0); };
        auto unit = [&](long row, long j) { return (load<L>(x + row * D + j, D - j) - middle(row)) * scale_i[row]; };
        for (long j = 0; j < D; j += L) {
            Vector<T, L> along{}, total{};
            for (long row = 0; row < rows; row++) {
                const Vector<T, L> slope = load<L>(g + row * D + j, D - j);
                along += slope * unit(row, j);
                total += slope;
            }
            add_to(g_gain + j, along, D - j);
            if (g_bias) add_to(g_bias + j, total, D - j);
        }
        auto pulled = [&](long row, long j) { return load<L>(g + row * D + j, D - j) * load<L>(gain + j, D - j); };
        Vector<T, L> shared{};
        if (shape.centred) shared = row_sums<T, L>(rows, D, pulled) / T(D);
        const Vector<T, L> tilt =
            row_sums<T, L>(rows, D, [&](int row, long j) { return pulled(row, j) * unit(row, j); }) / T(D);
        T shared_i[L], tilt_i[L];
        store(shared_i, shared);
        store(tilt_i, tilt);
        for (long row = 0; row < rows; row++)
            for (long j = 0; j < D; j += L) {
                Vector<T, L> slope = (pulled(row, j) - shared_i[row] - unit(row, j) * tilt_i[row]) * scale_i[row];
                if (add) slope += load<L>(g_x + row * D + j, D - j);
                store(g_x + row * D + j, slope, D - j);
            }
    }
}

// One member: y = (x - mean) * scale * gain + bias. Kept for the backward pass: scale, and mean if centred, else
// it may be null (rows).
template <class T>
void norm_forward(NormShape<T> shape, const T* x, const T* gain, const T* bias, T* mean, T* scale, T* y) {
    with_lanes<T>(shape.D, [&](auto lanes) {
        norm_forward_by<T, decltype(lanes)::value>(shape, x, gain, bias, mean, scale, y);
    });
}

// From the gradient g of y: that of x, added to g_x or overwriting it, which may then be g; those of gain and bias are
// added.
template <class T>
void norm_backward(NormShape<T> shape, const T* g, const T* x, const T* gain, const T* mean, const T* scale, T* g_x,
                   bool add, T* g_gain, T* g_bias) {
    with_lanes<T>(shape.D, [&](auto lanes) {
        norm_backward_by<T, decltype(lanes)::value>(shape, g, x, gain, mean, scale, g_x, add, g_gain, g_bias);
    });
}
