// What the kernels share: vectors as wide as the processor's, float32 and bfloat16 in memory, a team of threads.
#pragma once
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>
#if defined(__SSE__)
#include <immintrin.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#else
constexpr int LANES = 8;
#endif

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef int32_t ivec __attribute__((vector_size(LANES * 4)));
typedef uint16_t hvec __attribute__((vector_size(LANES * 2)));
struct bfloat16 { uint16_t bits; };

vec load(const float* from) { vec x; std::memcpy(&x, from, sizeof x); return x; }
void store(float* to, vec x) { std::memcpy(to, &x, sizeof x); }
vec load(const bfloat16* from) {
    hvec half; std::memcpy(&half, from, sizeof half);
    return (vec)(__builtin_convertvector(half, ivec) << 16);
}
void store(bfloat16* to, vec x) {  // to the nearest, ties to even
#if defined(__AVX512BF16__)
    const __m256bh half = _mm512_cvtneps_pbh((__m512)x);
    std::memcpy(to, &half, sizeof half);
#else
    const ivec bits = (ivec)x, rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    constexpr int NOT_A_NUMBER = 0x7fc0;  // rounded by its bits, one could become a number
    const hvec half = __builtin_convertvector(x == x ? rounded : NOT_A_NUMBER + ivec{}, hvec);
    std::memcpy(to, &half, sizeof half);
#endif
}
// A factor of several products, read once. GCC reads it anew for each where a processor multiplies from memory; with AVX2 reading is then
// what takes longest (Zen 3 reads two vectors a cycle and multiplies as many).
template <typename V> V in_register(V x) {
#if defined(__AVX2__) && !defined(__AVX512F__)
    asm("" : "+x"(x));
#endif
    return x;
}
vec broadcast(float value) { return value - vec{}; }
vec larger(vec a, vec b) { return a > b ? a : b; }

// e^x for x <= 0, to about two units in the last place: 2^n in the exponent's bits times a polynomial of 2^f, |f| <= 1/2 (Cephes)
vec exponential(vec x) {
    constexpr float LOG2E = 1.44269504088896341f, ROUNDS = 12582912.0f;  // added, it leaves an integer in the lowest bits
    x = larger(broadcast(-87.0f), x);  // in this order a NaN stays one
    const vec n = x * LOG2E + ROUNDS;
    const vec f = x * LOG2E - (n - ROUNDS);
    vec p = f * 1.535336188319500e-4f + 1.339887440266574e-3f;
    p = p * f + 9.618437357674640e-3f;
    p = p * f + 5.550332471162809e-2f;
    p = p * f + 2.402264791363012e-1f;
    p = p * f + 6.931472028550421e-1f;
    p = p * f + 1.0f;
    return (vec)((ivec)p + ((ivec)n << 23));
}

// numbers at the places PLACE of a and b, one after the other
template <int... PLACE, typename V> V shuffled(V a, V b) {
#if __has_builtin(__builtin_shufflevector)
    return __builtin_shufflevector(a, b, PLACE...);
#else  // GCC before 12
    return __builtin_shuffle(a, b, decltype(a < b){PLACE...});
#endif
}

// a reduction over the lanes, in every lane of the answer: halves, quarters, … meet
template <int STEP, int... LANE> vec swapped(vec x, std::integer_sequence<int, LANE...>) {
    return shuffled<(LANE ^ STEP)...>(x, x);
}
template <int STEP = LANES / 2, typename Operation> vec reduced(vec x, Operation operation) {
    x = operation(x, swapped<STEP>(x, std::make_integer_sequence<int, LANES>{}));
    if constexpr (STEP > 1) x = reduced<STEP / 2>(x, operation);
    return x;
}
vec total(vec x) { return reduced(x, [](vec a, vec b) { return a + b; }); }
vec maximum(vec x) { return reduced(x, larger); }
float sum(vec x) { return total(x)[0]; }

// LANES rows of as many numbers, transposed: the off-diagonal quarters of ever larger blocks are exchanged
template <int STEP, typename V, int... LANE> void exchange(V& a, V& b, std::integer_sequence<int, LANE...>) {
    const V first = shuffled<(LANE & STEP ? LANES + LANE - STEP : LANE)...>(a, b);
    b = shuffled<(LANE & STEP ? LANES + LANE : LANE + STEP)...>(a, b);
    a = first;
}
template <int STEP = 1, typename V> void transpose(V* rows) {
    for (int row = 0; row < LANES; ++row)
        if (!(row & STEP)) exchange<STEP>(rows[row], rows[row + STEP], std::make_integer_sequence<int, LANES>{});
    if constexpr (STEP * 2 < LANES) transpose<STEP * 2>(rows);
}

// While it lives, numbers too small for a full mantissa count as zero. Softmax under the shift mask is full of them, and so is what follows
// from it on the way back; Intel's processors take a hundred cycles for each.
struct Flushed {
#if defined(__SSE__)
    const unsigned before = _mm_getcsr();
    Flushed() { _mm_setcsr(before | 0x8040); }  // of what is computed, and of what is read
    ~Flushed() { _mm_setcsr(before); }
#else
    Flushed() {}
#endif
};

// work(first, last, thread) on equal shares of the tasks; which share is whose depends on their number alone
template <typename Work> void in_shares(int64_t tasks, int threads, Work work) {
#ifdef _OPENMP
#pragma omp parallel num_threads(threads) if (threads > 1)
    { const Flushed flushed;
      const int thread = omp_get_thread_num(), count = omp_get_num_threads();
      work(tasks * thread / count, tasks * (thread + 1) / count, thread); }
#else
    const Flushed flushed;
    work(0, tasks, 0);
#endif
}

constexpr int PARTS = 8;  // of a share
struct alignas(64) Queue { std::atomic<int64_t> next; int64_t end; };

// work(first, last) on parts of the tasks, of which none may depend on another. Each thread begins with its own equal share, whose data its
// cache holds from the call before, and then takes over parts of those that others have not come to: a core that another program slows
// down, or that came late, is waited for no longer than for one part.
template <typename Work> void in_parallel(int64_t tasks, int threads, Work work) {
    if (threads < 2) return in_shares(tasks, 1, [&](int64_t first, int64_t last, int) { work(first, last); });
    std::vector<Queue> queues(threads);
    for (int64_t thread = 0; thread < threads; ++thread)
        queues[thread].next = tasks * thread / threads, queues[thread].end = tasks * (thread + 1) / threads;
    const int64_t part = std::max<int64_t>(1, (tasks / threads + PARTS - 1) / PARTS);
    in_shares(threads, threads, [&](int64_t begin, int64_t, int) {
        for (int turn = 0; turn < threads; ++turn) {
            Queue& queue = queues[(begin + turn) % threads];
            for (int64_t first; (first = queue.next.fetch_add(part, std::memory_order_relaxed)) < queue.end;)
                work(first, std::min(first + part, queue.end));
        }
    });
}

// The sum over all tasks of what work(first, last, own) adds to own (width). Threads sum apart and are added in their order, so that
// a result repeats to the bit.
template <typename Work> std::vector<float> summed(int64_t tasks, int threads, size_t width, Work work) {
    std::vector<std::vector<float>> apart(threads);
    in_shares(tasks, threads, [&](int64_t first, int64_t last, int thread) {
        apart[thread].assign(width, 0);
        work(first, last, apart[thread].data());
    });
    std::vector<float> total(width, 0);
    for (const std::vector<float>& own : apart)  // empty where fewer threads came than were asked for
        for (size_t c = 0; c < own.size(); ++c) total[c] += own[c];
    return total;
}

}  // namespace
