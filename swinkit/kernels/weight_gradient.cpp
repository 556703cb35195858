// The gradient of a linear layer's weights, gradientᵀ x, and of its bias, the gradient's sum over rows: a product whose inner dimension, the
// rows, is long and whose answer is mostly small. Both factors are rearranged block by block, as tiles of the answer want to read them.
#include "entries.hpp"
#include "packing.hpp"
#include <memory>
#include <unistd.h>

namespace {

constexpr int64_t CHUNK = 32 * LANES;  // columns of the gradient that are rearranged at once, and stay in the second cache
constexpr int64_t LINE = 64;  // bytes
constexpr int64_t SMALL = 1 << 16;  // numbers of an answer that each thread may sum up for itself

// Steps of a block at most: a panel of x and a tile of the gradient take three quarters of the first cache.
int64_t deepest() {
    int64_t bytes = 0;
#if defined(_SC_LEVEL1_DCACHE_SIZE)
    bytes = sysconf(_SC_LEVEL1_DCACHE_SIZE);
#endif
    return (bytes > 0 ? bytes : 32768) * 3 / 4 / ((WIDTH + ROWS) * 4);
}

template <typename T> struct Operands { const T *gradient, *x; int64_t rows, outputs, inputs; };
// What is multiplied at once: ``steps`` steps of x and of ``width`` columns of the gradient, from these on; ``rows`` rows are left.
template <typename T> struct Share { const T *gradient, *x; int64_t rows, steps, width; };

// cells of ``columns`` columns of from (rows, stride), a step after the other: put(step, column, cells)
template <typename U, typename Columns, typename Put>
void rearranged(const typename U::number* from, int64_t stride, int64_t rows, int64_t steps, Columns columns, float* sums, Put put) {
    const std::vector<typename U::number> nothing(U::STEP > 1 ? columns : 0);
    for (int64_t step = 0; step < steps; ++step) {
        const typename U::number *one = from + step * U::STEP * stride, *two = U::STEP * (step + 1) <= rows ? one + stride : nothing.data();
        for (int64_t c = 0; c < columns; c += LANES) {
            put(step, c, U::group(one + c, two + c));
            if (!sums) continue;
            vec total = load(sums + c) + load(one + c);
            if (U::STEP == 2) total += load(two + c);
            store(sums + c, total);
        }
    }
}

// Lines of memory that are read later, one at each step.
struct Ahead { const char* from; int64_t stride; };

// The ``index``-th of the lines that a step of columns of from (rows, stride) consists of.
template <typename U> Ahead line(const typename U::number* from, int64_t stride, int64_t index) {
    const auto* first = from + index % U::STEP * stride + index / U::STEP * (LINE / (int64_t)sizeof *from);
    return {reinterpret_cast<const char*>(first), U::STEP * stride * (int64_t)sizeof *from};
}

// out (ROWS, V vectors of inputs) += gradient (steps, ROWS) by x (steps, V vectors), or, if ``fresh``, becomes that
template <typename U, int V>
void tile(const typename U::cell* gradient, const typename U::cell* x, int64_t steps, bool fresh, Ahead ahead, float* out, int64_t inputs) {
    static const float zeros[WIDTH] = {};
    const float* before = fresh ? zeros : out;
    const int64_t apart = fresh ? 0 : inputs;
    vec sums[ROWS][V];
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sums[r][v] = load(before + r * apart + v * LANES);
    do {  // tested at its end, the loop leaves the sums in their registers
        __builtin_prefetch(ahead.from, 0, 2);
        add_step<U>(sums, [&](int r) { return gradient[r]; }, x);
        gradient += ROWS, x += V * LANES, ahead.from += ahead.stride;
    } while (--steps);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) store(out + r * inputs + v * LANES, sums[r][v]);
}

// Adds what a share comes to, or, if ``fresh``, puts it there; meanwhile ``following`` is fetched.
template <typename U>
void add_share(const Operands<typename U::number>& in, const Share<typename U::number>& share, const Share<typename U::number>& following,
               bool fresh, typename U::cell* gradients, typename U::cell* xs, float* out, float* sums) {
    const int64_t steps = share.steps;
    rearranged<U>(share.gradient, in.outputs, share.rows, steps, share.width, sums, [&](int64_t step, int64_t c, typename U::cells x) {
        for (int part = 0; part < LANES / ROWS; ++part)
            std::memcpy(&gradients[((c / ROWS + part) * steps + step) * ROWS], (const char*)&x + part * ROWS * 4, ROWS * 4);
    });
    int64_t fetched = 0;  // lines of the gradient
    const auto by_panel = [&](int64_t column, auto vectors) {
        constexpr int V = decltype(vectors)::value;
        const std::integral_constant<int64_t, V * LANES> wide;
        rearranged<U>(share.x + column, in.inputs, share.rows, steps, wide, nullptr,
                      [&](int64_t step, int64_t c, typename U::cells x) { store_cells<U>(xs + step * wide + c, x); });
        const auto* beside = column + wide < in.inputs ? share.x + column + wide : following.x;
        for (int64_t r = 0; r < share.width; r += ROWS) {
            const auto* gradient = &gradients[r * steps];
            Ahead ahead{reinterpret_cast<const char*>(gradient), 0};
            if (r / ROWS * LINE < WIDTH * 4) ahead = line<U>(beside, in.inputs, r / ROWS);
            else if (fetched * LINE < following.width * 4) ahead = line<U>(following.gradient, in.outputs, fetched++);
            tile<U, V>(gradient, xs, steps, fresh, ahead, out + r * in.inputs + column, in.inputs);
        }
    };
    for (int64_t index = 0; index * WIDTH < in.inputs; ++index) {
        const Panel now = panel(index, in.inputs);
        switch (now.width / LANES) {
            case 3: by_panel(now.column, std::integral_constant<int, 3>{}); break;
            case 2: by_panel(now.column, std::integral_constant<int, 2>{}); break;
            default: by_panel(now.column, std::integral_constant<int, 1>{});
        }
    }
}

// What steps ``first`` to ``last`` of the rows come to in the answer's rows ``low`` to ``high``, and in their sums, to which it is added.
template <typename U>
void accumulate(const Operands<typename U::number>& in, int64_t first, int64_t last, int64_t low, int64_t high, float* out, float* sums) {
    static const int64_t depth = deepest();
    const int64_t blocks = (last - first + depth - 1) / depth, chunks = (high - low + CHUNK - 1) / CHUNK;
    const auto share = [&](int64_t block, int64_t column) {
        const int64_t begin = first + (last - first) * block / blocks, end = first + (last - first) * (block + 1) / blocks;
        const int64_t row = begin * U::STEP, width = std::min(CHUNK, high - column);
        return Share<typename U::number>{in.gradient + row * in.outputs + column, in.x + row * in.inputs, in.rows - row, end - begin, width};
    };
    using cell = typename U::cell;
    const std::unique_ptr<cell[]> gradients(new cell[depth * CHUNK]), xs(new cell[depth * WIDTH]);
    for (int64_t index = 0; index < blocks * chunks; ++index) {
        const int64_t next = std::min(index + 1, blocks * chunks - 1), column = low + index % chunks * CHUNK;
        add_share<U>(in, share(index / chunks, column), share(next / chunks, low + next % chunks * CHUNK), index < chunks, gradients.get(),
                     xs.get(), out + column * in.inputs, sums + column);
    }
}

// Threads part the rows where each can hold an answer of its own, else the outputs.
template <typename U> void product(const Operands<typename U::number>& in, float* out, float* sums, int threads) {
    const int64_t steps = (in.rows + U::STEP - 1) / U::STEP, size = in.outputs * in.inputs;
    if (size <= SMALL) {
        const auto total = summed(steps, threads, size + in.outputs, [&](int64_t first, int64_t last, float* own) {
            accumulate<U>(in, first, last, 0, in.outputs, own, own + size);
        });
        std::copy_n(total.begin(), size, out);
        std::copy_n(total.begin() + size, in.outputs, sums);
        return;
    }
    in_shares(in.outputs / LANES, threads, [&](int64_t first, int64_t last, int) {  // parts of them would each rearrange all of x
        std::fill(sums + first * LANES, sums + last * LANES, 0.0f);
        accumulate<U>(in, 0, steps, first * LANES, last * LANES, out, sums);
    });
}

}  // namespace

extern "C" {

// gradient (rows, outputs) and x (rows, inputs) to out (outputs, inputs) and sums (outputs); rows are one or more, both widths multiples of a vector's
void weight_gradient(int half, const void* gradient, const void* x, int64_t rows, int64_t outputs, int64_t inputs, float* out, float* sums,
                     int threads) {
    with_unit(half, [&](auto U) {
        using T = typename decltype(U)::number;
        product<decltype(U)>({static_cast<const T*>(gradient), static_cast<const T*>(x), rows, outputs, inputs}, out, sums, threads);
    });
}

}
