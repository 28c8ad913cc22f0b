// The products of one layer by resformer's kernels and nothing else: left * right, gradient * right', left' * gradient.

#include "product.hpp"

template <int L> static void all(long count, long m, long k, long n, const REAL* left, const REAL* right,
                                 const REAL* gradient, REAL* out) {
    static Scratch<REAL> scratch;
    for (long i = 0; i < count; i++, left += m * k, right += k * n, gradient += m * n) {
        product<REAL, L>(m, n, k, {left, k, 1}, as_rows<REAL>({right, n, 1}, k, n, L, scratch), out, n);
        product<REAL, L>(m, k, n, {gradient, n, 1}, as_rows<REAL>({right, 1, n}, n, k, L, scratch), out, k);
        product<REAL, L>(k, n, m, {left, 1, k}, as_rows<REAL>({gradient, n, 1}, m, n, L, scratch), out, n);
    }
}

// `out` has room for the largest of the three results.
extern "C" void products(long count, long m, long k, long n, const REAL* left, const REAL* right, const REAL* gradient,
                         REAL* out) {
    constexpr int L = LANES<REAL>;
    (k <= L / 2 || n <= L / 2 ? all<L / 2> : all<L>)(count, m, k, n, left, right, gradient, out);
}
