// Memory of a step, and the parts in which a batch is computed.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <tuple>
#include <utility>
#include <vector>

#include "product.hpp"

// Rows that are computed together: few enough that what a step of 8 blocks of width 64 keeps of them stays in the cache.
constexpr long ROWS = 128;

// Calls `what` with the first sequence and the number of sequences of each part of a batch.
template <class Do> void each_part(long sequences, long tokens, Do&& what) {
    const long some = std::max(1L, ROWS / tokens);
    for (long first = 0; first < sequences; first += some) what(first, std::min(some, sequences - first));
}

// Room for what one member keeps from its forward to its backward pass. Grown, never given back.
template <class T> class Arena {
    struct Free {
        void operator()(T* block) const { std::free(block); }
    };
    static constexpr long LEAST = 1 << 20, PAGE = 1 << 21;
    std::vector<std::pair<std::unique_ptr<T[], Free>, long>> blocks;
    size_t block = 0;
    long used = 0;

  public:
    typedef std::pair<size_t, long> Mark;

    T* take(long count) {
        count = padded(count, LANES<T>);
        while (block < blocks.size() && used + count > blocks[block].second) block++, used = 0;
        if (block == blocks.size()) {
            const long size = std::max(count, LEAST);
            T* numbers = (T*)std::aligned_alloc(PAGE, padded(size * sizeof(T), PAGE));
            if (!numbers) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
            madvise(numbers, padded(size * sizeof(T), PAGE), MADV_HUGEPAGE);
#endif
            blocks.emplace_back(numbers, size);
            used = 0;
        }
        T* taken = blocks[block].first.get() + used;
        used += count;
        return taken;
    }
    Mark mark() const { return {block, used}; }
    void rewind(Mark to) { std::tie(block, used) = to; }
};
