// The matrix product, for matrices so small that a library's call costs more than its arithmetic.
#pragma once

#include <algorithm>
#include <vector>

#include "vector.hpp"

// Numbers that one call needs and the next may overwrite. Grown, never given back.
template <class T> struct Scratch {
    std::vector<T> numbers;
    T* of(long count) {
        if ((long)numbers.size() < count) numbers.resize(count);
        return numbers.data();
    }
};

// Element (i, j) is at[i * row + j * column]: a matrix, its transpose, or a slice of one.
template <class T> struct View {
    const T* at;
    long row, column;
    View from(long i) const { return {at + i * row, row, column}; }
};

// The right factor of a product: rows that lie one after the other and can be read in whole vectors.
template <class T> struct Rows {
    const T* at;
    long row;
};

inline long padded(long columns, long lanes) { return (columns + lanes - 1) / lanes * lanes; }

// Copies (rows, columns) to rows of `width` numbers, padded with zeros; a transpose in squares of 8.
template <class T> void copy_rows(View<T> b, long rows, long columns, T* copy, long width) {
    if (b.column == 1) {
        std::fill_n(copy, rows * width, T(0));
        for (long i = 0; i < rows; i++) std::copy_n(b.at + i * b.row, columns, copy + i * width);
        return;
    }
    for (long i = 0; i < rows; i += 8)
        for (long j = 0; j < width; j += 8) {
            if (b.row == 1 && i + 8 <= rows && j + 8 <= columns) {
                Vector<T, 8> square[8];
                for (int part = 0; part < 8; part++) square[part] = load<8>(b.at + i + (j + part) * b.column);
                transpose<8>(square);
                for (int part = 0; part < 8; part++) store(copy + (i + part) * width + j, square[part]);
                continue;
            }
            for (long y = i; y < std::min(i + 8, rows); y++)
                for (long x = j; x < std::min(j + 8, width); x++)
                    copy[y * width + x] = x < columns ? b.at[y * b.row + x * b.column] : T(0);
        }
}

// (rows, columns) as a right factor: as it lies if that will do, else copied and padded with zeros.
template <class T> Rows<T> as_rows(View<T> b, long rows, long columns, long lanes, Scratch<T>& scratch) {
    if (b.column == 1 && columns % lanes == 0) return {b.at, b.row};
    long width = padded(columns, lanes);
    T* copy = scratch.of(rows * width);
    copy_rows(b, rows, columns, copy, width);
    return {copy, width};
}

// How a product begins and ends: from a bias per column (or null: 0), or added to what is there; with ReLU or not; 0
// where `open`, laid out like the result, is not positive, unless it is null.
template <class T> struct Ends {
    const T* bias = nullptr;
    bool add = false;
    bool relu = false;
    const T* open = nullptr;
};

// Rows of the result, and vectors of columns, that stay in registers while a sum runs: 16 of AVX-512's 32, 8 of AVX2's
// 16.
constexpr int HIGH = BYTES == 64 ? 8 : 4, WIDE = 2;

// Calls `what` with every row and vector of a tile, written out: in a loop, sums would lie in memory, not in registers.
template <int H, int W, class Do> inline __attribute__((always_inline)) void each(Do&& what) {
#pragma GCC unroll 8
    for (int i = 0; i < H; i++)
#pragma GCC unroll 2
        for (int j = 0; j < W; j++) what(i, j);
}

// H rows and W vectors of columns of c; `whole`: there are so many columns. Every element is one sum over k in order, so
// it does not depend on where a tile begins or how many rows there are.
template <class T, int L, int H, int W, bool whole>
inline __attribute__((always_inline)) void tile(long depth, View<T> a, Rows<T> b, T* c, long c_row, long columns,
                                                Ends<T> ends) {
    auto read = [&](const T* from, int j) {
        return whole ? load<L>(from + j * L) : load<L>(from + j * L, columns - j * L);
    };
    Vector<T, L> sum[H][W];
    if (ends.add)
        each<H, W>([&](int i, int j) { sum[i][j] = read(c + i * c_row, j); });
    else
        each<H, W>([&](int i, int j) { sum[i][j] = ends.bias ? read(ends.bias, j) : Vector<T, L>{}; });
#pragma GCC unroll 8
    for (long k = 0; k < depth; k++) {
        const T *left = a.at + k * a.column, *right = b.at + k * b.row;
        each<H, W>([&](int i, int j) { sum[i][j] += left[i * a.row] * load<L>(right + j * L); });
    }
    const Vector<T, L> zero{};  // where NaN is compared, it stays
    if (ends.relu) each<H, W>([&](int i, int j) { sum[i][j] = sum[i][j] < 0 ? zero : sum[i][j]; });
    if (ends.open)
        each<H, W>([&](int i, int j) { sum[i][j] = read(ends.open + i * c_row, j) <= 0 ? zero : sum[i][j]; });
    each<H, W>([&](int i, int j) {
        T* to = c + i * c_row + j * L;
        whole ? store(to, sum[i][j]) : store(to, sum[i][j], columns - j * L);
    });
}

template <class T, int L, int W, bool whole>
inline __attribute__((always_inline)) void panel(long rows, long depth, View<T> a, Rows<T> b, T* c, long c_row,
                                                 long columns, Ends<T> ends) {
    long i = 0;
    auto from = [&](long i) {
        Ends<T> part = ends;
        if (part.open) part.open += i * c_row;
        return part;
    };
    for (; i + HIGH <= rows; i += HIGH)
        tile<T, L, HIGH, W, whole>(depth, a.from(i), b, c + i * c_row, c_row, columns, from(i));
    for (; i < rows; i++) tile<T, L, 1, W, whole>(depth, a.from(i), b, c + i * c_row, c_row, columns, from(i));
}

template <class T, int L>
inline __attribute__((always_inline)) void small_product(long rows, long columns, long depth, View<T> a, Rows<T> b,
                                                         T* c, long c_row, Ends<T> ends = {}) {
    long j = 0;
    auto from = [&](long j) {
        return Ends<T>{ends.bias ? ends.bias + j : nullptr, ends.add, ends.relu, ends.open ? ends.open + j : nullptr};
    };
    for (; j + WIDE * L <= columns; j += WIDE * L)
        panel<T, L, WIDE, true>(rows, depth, a, {b.at + j, b.row}, c + j, c_row, columns - j, from(j));
    for (; WIDE > 1 && j + L <= columns; j += L)
        panel<T, L, 1, true>(rows, depth, a, {b.at + j, b.row}, c + j, c_row, columns - j, from(j));
    if (j < columns) panel<T, L, 1, false>(rows, depth, a, {b.at + j, b.row}, c + j, c_row, columns - j, from(j));
}

template <class T, int L>
__attribute__((noinline)) void product(long rows, long columns, long depth, View<T> a, Rows<T> b, T* c, long c_row,
                                       Ends<T> ends = {}) {
    small_product<T, L>(rows, columns, depth, a, b, c, c_row, ends);
}

// c += the sum of each column.
template <class T> void add_column_sums(long rows, long columns, const T* a, long a_row, T* c) {
    constexpr int L = LANES<T>, W = 4;  // sums that run side by side
    for (long j = 0; j < columns; j += W * L) {
        Vector<T, L> total[W]{};
        const long wide = std::min<long>(W, (columns - j) / L);
        if (wide == W)
            for (long i = 0; i < rows; i++)
                for (int part = 0; part < W; part++) total[part] += load<L>(a + i * a_row + j + part * L);
        else
            for (long i = 0; i < rows; i++)
                for (long k = j, part = 0; k < columns; k += L, part++)
                    total[part] += load<L>(a + i * a_row + k, columns - k);
        for (long k = j, part = 0; part < W && k < columns; k += L, part++)
            store(c + k, load<L>(c + k, columns - k) + total[part], columns - k);
    }
}
