// Window attention of Swin V1 and V2, forward and backward, over tokens that stay where they are.
//
// A table of row numbers says which tokens meet in a window, so nothing is padded, rolled, partitioned or put back: the shift is in
// the table, and a token of the padding (row -1) is the bias of the joint projection, which is what both versions feed to attention
// there. Everything is computed in float32; tokens are float32 or bfloat16. GCC's vector extensions make of it what the processor has.
//
// Shapes: B batch, L tokens of a map, W windows, N tokens per window, H heads, D channels of a head, C = H D.
//   qkv (B, L, 3, H, D)   pad (3, H, D)   index (W, N)   region (W, N)   mixed (W)   bias (H, N, P), P = N rounded up to whole vectors
#include "vectors.hpp"

namespace {

#if defined(__AVX512F__)
constexpr int TILE = 4, ROWS = 7;  // 7 x 4 accumulators and 4 operands are the 32 registers; 49 tokens are 7 x 7
#else
constexpr int TILE = 2, ROWS = 4;
#endif
constexpr float MASKED = -100.0f, NOWHERE = -1e30f;

// exchange the off-diagonal quarters of ever larger blocks
template <int STEP, int... LANE> void exchange(vec& a, vec& b, std::integer_sequence<int, LANE...>) {
    const vec first = __builtin_shufflevector(a, b, (LANE & STEP ? LANES + LANE - STEP : LANE)...);
    b = __builtin_shufflevector(a, b, (LANE & STEP ? LANES + LANE : LANE + STEP)...);
    a = first;
}
template <int STEP> void transpose(vec* rows) {
    for (int row = 0; row < LANES; ++row)
        if (!(row & STEP)) exchange<STEP>(rows[row], rows[row + STEP], std::make_integer_sequence<int, LANES>{});
    if constexpr (STEP * 2 < LANES) transpose<STEP * 2>(rows);
}
// tokens (N, D) to (D, P); N is padded with zeros in the source
template <int D> void transposed(const float* from, float* to, int P) {
    for (int token = 0; token < P; token += LANES)
        for (int channel = 0; channel < D; channel += LANES) {
            vec rows[LANES];
            for (int row = 0; row < LANES; ++row) rows[row] = load(from + (token + row) * D + channel);
            transpose<1>(rows);
            for (int row = 0; row < LANES; ++row) store(to + (channel + row) * P + token, rows[row]);
        }
}

// out (R, P) = a (R, D) times b (D, P)
template <int D, int R, int T> void product_tile(const float* a, const float* b, int P, float* out) {
    vec total[R][T] = {};
    for (int channel = 0; channel < D; ++channel) {
        vec column[T];
        for (int part = 0; part < T; ++part) column[part] = load(b + channel * P + part * LANES);
        for (int row = 0; row < R; ++row)
            for (int part = 0; part < T; ++part) total[row][part] += a[row * D + channel] * column[part];
    }
    for (int row = 0; row < R; ++row)
        for (int part = 0; part < T; ++part) store(out + row * P + part * LANES, total[row][part]);
}
template <int D, int R> void product(const float* a, const float* b, int P, float* out) {
    int column = 0;
    for (; column + TILE * LANES <= P; column += TILE * LANES) product_tile<D, R, TILE>(a, b + column, P, out + column);
    for (; column < P; column += LANES) product_tile<D, R, 1>(a, b + column, P, out + column);
}

// out (R, D) = sum over m of a[row * across + m * along] b (m, D)
template <int D, int R> void weighted(const float* a, int across, int along, const float* b, int count, float* out) {
    vec total[R][D / LANES] = {};
    for (int m = 0; m < count; ++m)
        for (int part = 0; part < D / LANES; ++part) {
            const vec value = load(b + m * D + part * LANES);
            for (int row = 0; row < R; ++row) total[row][part] += a[row * across + m * along] * value;
        }
    for (int row = 0; row < R; ++row)
        for (int part = 0; part < D / LANES; ++part) store(out + row * D + part * LANES, total[row][part]);
}

// rows in blocks of ROWS, the rest one at a time
template <typename Block, typename Single> void in_blocks(int count, Block block, Single single) {
    int row = 0;
    for (; row + ROWS <= count; row += ROWS) block(row);
    for (; row < count; ++row) single(row);
}

struct Shape {
    int64_t batch, tokens, windows;
    int N, H, P, cosine;
    int64_t channels() const { return (int64_t)H * D; }
    int D;
};

template <typename T> struct Operands {
    const T* qkv; const T* pad; const float* bias; const int32_t* index; const uint8_t* region; const uint8_t* mixed;
    const float* scale;  // (H): what queries are multiplied by
};

// What one window and head needs, in float32, zero beyond N.
template <int D> struct Window {
    int N, P;
    std::vector<float> q, k, v, kt, p, share, q_length, k_length;
    explicit Window(const Shape& s)
        : N(s.N), P(s.P), q(P * D), k(P * D), v(P * D), kt(P * D), p((size_t)P * P), share(P), q_length(P, 1.f), k_length(P, 1.f) {}

    template <typename T> void gather(const Operands<T>& in, const Shape& s, int64_t b, int64_t w, int h) {
        const int64_t C = s.channels();
        for (int t = 0; t < N; ++t) {
            const int32_t row = in.index[w * N + t];
            const T* token = (row < 0 ? in.pad : in.qkv + (b * s.tokens + row) * 3 * C) + h * D;
            for (int c = 0; c < D; c += LANES) {
                store(&q[t * D + c], load(token + c));
                store(&k[t * D + c], load(token + C + c));
                store(&v[t * D + c], load(token + 2 * C + c));
            }
            if (s.cosine) { q_length[t] = unit(&q[t * D]); k_length[t] = unit(&k[t * D]); }
            for (int c = 0; c < D; c += LANES) store(&q[t * D + c], load(&q[t * D + c]) * in.scale[h]);
        }
        transposed<D>(k.data(), kt.data(), P);
    }
    // x / |x| in place; returns |x|, and 1 for a zero vector, which stays as it is
    static float unit(float* x) {
        vec squares = {};
        for (int c = 0; c < D; c += LANES) squares += load(x + c) * load(x + c);
        const float length = std::sqrt(sum(squares));
        if (length == 0) return 1;
        for (int c = 0; c < D; c += LANES) store(x + c, load(x + c) * (1 / length));
        return length;
    }
    // p = softmax(q kᵀ + bias + mask), rows of P, zero beyond N; each row still to be multiplied by its share
    template <typename T> void attend(const Operands<T>& in, int64_t w, int h) {
        in_blocks(N, [&](int row) { product<D, ROWS>(&q[row * D], kt.data(), P, &p[(size_t)row * P]); },
                  [&](int row) { product<D, 1>(&q[row * D], kt.data(), P, &p[(size_t)row * P]); });
        float regions[4096];
        const bool mixed = in.mixed && in.mixed[w];
        if (mixed) for (int t = 0; t < P; ++t) regions[t] = t < N ? in.region[w * N + t] : 0;
        for (int row = 0; row < N; ++row) softmax(&p[(size_t)row * P], in.bias + ((size_t)h * N + row) * P, mixed ? regions : nullptr, row);
    }
    void softmax(float* logits, const float* bias, const float* regions, int row) {
        vec most = broadcast(NOWHERE);
        for (int c = 0; c < P; c += LANES) {
            vec x = load(logits + c) + load(bias + c);
            if (regions) x += (vec)((load(regions + c) != regions[row]) & (ivec)broadcast(MASKED));
            store(logits + c, x);
            most = larger(most, x);
        }
        most = maximum(most);
        vec all = {};
        for (int c = 0; c < P; c += LANES) {
            const vec x = exponential(load(logits + c) - most);
            store(logits + c, x);
            all += x;
        }
        share[row] = 1 / sum(all);
    }
};

template <int D, typename T> void forward(const Operands<T>& in, const Shape& s, T* out, int threads) {
    in_parallel(s.batch * s.windows * s.H, threads, [&](int64_t first, int64_t last, int) {
        Window<D> win(s);
        std::vector<float> o(s.P * D);
        for (int64_t task = first; task < last; ++task) {
            const int h = task % s.H;
            const int64_t w = task / s.H % s.windows, b = task / s.H / s.windows;
            win.gather(in, s, b, w, h);
            win.attend(in, w, h);
            in_blocks(s.N, [&](int row) { weighted<D, ROWS>(&win.p[(size_t)row * s.P], s.P, 1, win.v.data(), s.N, &o[row * D]); },
                      [&](int row) { weighted<D, 1>(&win.p[(size_t)row * s.P], s.P, 1, win.v.data(), s.N, &o[row * D]); });
            for (int t = 0; t < s.N; ++t) {
                const int32_t row = in.index[w * s.N + t];
                if (row < 0) continue;
                T* to = out + (b * s.tokens + row) * s.channels() + h * D;
                for (int c = 0; c < D; c += LANES) store(to + c, load(&o[t * D + c]) * win.share[t]);
            }
        }
    });
}

// Sums that threads keep apart and that are added in the order of the threads, so that a result repeats to the bit.
struct Sums { std::vector<float> bias, pad, scale; };

// gradient of x given that of x / |x|, in place
template <int D> void through_unit(float* gradient, const float* unit, float length) {
    vec along = {};
    for (int c = 0; c < D; c += LANES) along += load(gradient + c) * load(unit + c);
    const float projection = sum(along);
    for (int c = 0; c < D; c += LANES) store(gradient + c, (load(gradient + c) - projection * load(unit + c)) * (1 / length));
}

template <int D, typename T>
void backward(const Operands<T>& in, const Shape& s, const T* gout, T* gqkv, float* gbias, float* gpad, float* gscale, int threads) {
    const int64_t C = s.channels();
    const int N = s.N, P = s.P;
    std::vector<Sums> sums(threads);
    in_parallel(s.batch * s.windows * s.H, threads, [&](int64_t first, int64_t last, int thread) {
        Sums& own = sums[thread];
        own.bias.assign((size_t)s.H * N * P, 0); own.pad.assign(3 * C, 0); own.scale.assign(s.H, 0);
        Window<D> win(s);
        std::vector<float> go(P * D), vt(P * D), gs((size_t)P * P), gq(P * D), gk(P * D), gv(P * D);
        for (int64_t task = first; task < last; ++task) {
            const int h = task % s.H;
            const int64_t w = task / s.H % s.windows, b = task / s.H / s.windows;
            win.gather(in, s, b, w, h);
            win.attend(in, w, h);
            for (int t = 0; t < N; ++t) {
                const int32_t row = in.index[w * N + t];
                for (int c = 0; c < D; c += LANES)
                    store(&go[t * D + c], row < 0 ? vec{} : load(gout + (b * s.tokens + row) * C + h * D + c));
            }
            transposed<D>(win.v.data(), vt.data(), P);
            in_blocks(N, [&](int row) { product<D, ROWS>(&go[row * D], vt.data(), P, &gs[(size_t)row * P]); },
                      [&](int row) { product<D, 1>(&go[row * D], vt.data(), P, &gs[(size_t)row * P]); });
            for (int row = 0; row < N; ++row) {  // through the softmax: gs = p (gp - sum over p gp)
                float *g = &gs[(size_t)row * P], *p = &win.p[(size_t)row * P], *total = &own.bias[((size_t)h * N + row) * P];
                vec along = {};
                for (int c = 0; c < P; c += LANES) {
                    store(p + c, load(p + c) * win.share[row]);
                    along += load(g + c) * load(p + c);
                }
                const float mean = sum(along);
                for (int c = 0; c < P; c += LANES) {
                    const vec x = load(p + c) * (load(g + c) - mean);
                    store(g + c, x);
                    store(total + c, load(total + c) + x);
                }
            }
            in_blocks(N, [&](int row) {
                weighted<D, ROWS>(&gs[(size_t)row * P], P, 1, win.k.data(), N, &gq[row * D]);
                weighted<D, ROWS>(&gs[row], 1, P, win.q.data(), N, &gk[row * D]);
                weighted<D, ROWS>(&win.p[row], 1, P, go.data(), N, &gv[row * D]);
            }, [&](int row) {
                weighted<D, 1>(&gs[(size_t)row * P], P, 1, win.k.data(), N, &gq[row * D]);
                weighted<D, 1>(&gs[row], 1, P, win.q.data(), N, &gk[row * D]);
                weighted<D, 1>(&win.p[row], 1, P, go.data(), N, &gv[row * D]);
            });
            for (int t = 0; t < N; ++t) {
                vec along = {};
                for (int c = 0; c < D; c += LANES) {
                    along += load(&gq[t * D + c]) * load(&win.q[t * D + c]);
                    store(&gq[t * D + c], load(&gq[t * D + c]) * in.scale[h]);
                }
                own.scale[h] += sum(along) / in.scale[h];
                if (s.cosine) {
                    for (int c = 0; c < D; c += LANES) store(&win.q[t * D + c], load(&win.q[t * D + c]) * (1 / in.scale[h]));
                    through_unit<D>(&gq[t * D], &win.q[t * D], win.q_length[t]);
                    through_unit<D>(&gk[t * D], &win.k[t * D], win.k_length[t]);
                }
                const int32_t row = in.index[w * N + t];
                for (int c = 0; c < D; c += LANES) {
                    const vec parts[3] = {load(&gq[t * D + c]), load(&gk[t * D + c]), load(&gv[t * D + c])};
                    for (int part = 0; part < 3; ++part)
                        if (row < 0) { float* to = &own.pad[part * C + h * D + c]; store(to, load(to) + parts[part]); }
                        else store(gqkv + (b * s.tokens + row) * 3 * C + part * C + h * D + c, parts[part]);
                }
            }
        }
    });
    for (const Sums& own : sums) {
        if (own.bias.empty()) continue;
        for (int64_t row = 0; row < (int64_t)s.H * N; ++row)
            for (int c = 0; c < N; ++c) gbias[row * N + c] += own.bias[row * P + c];
        for (int64_t c = 0; c < 3 * C; ++c) gpad[c] += own.pad[c];
        for (int h = 0; h < s.H; ++h) gscale[h] += own.scale[h];
    }
}

template <typename T> Operands<T> operands(const void* qkv, const void* pad, const float* bias, const int32_t* index,
                                           const uint8_t* region, const uint8_t* mixed, const float* scale) {
    return {static_cast<const T*>(qkv), static_cast<const T*>(pad), bias, index, region, mixed, scale};
}

template <typename Call> int dispatch(int D, Call call) {  // 0 where the width of a head is one of these
    switch (D) {
        case 16: call(std::integral_constant<int, 16>{}); return 0;
        case 32: call(std::integral_constant<int, 32>{}); return 0;
        case 64: call(std::integral_constant<int, 64>{}); return 0;
    }
    return 1;
}

}  // namespace

extern "C" {

int lanes() { return LANES; }

int team() {  // how many threads OpenMP would use: torch's number, where its OpenMP is ours
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

int attention_forward(int half, const void* qkv, const void* pad, const float* bias, const int32_t* index, const uint8_t* region,
                      const uint8_t* mixed, const float* scale, const Shape* s, void* out, int threads) {
    return dispatch(s->D, [&](auto D) {
        if (half) forward<D>(operands<bfloat16>(qkv, pad, bias, index, region, mixed, scale), *s, static_cast<bfloat16*>(out), threads);
        else forward<D>(operands<float>(qkv, pad, bias, index, region, mixed, scale), *s, static_cast<float*>(out), threads);
    });
}

int attention_backward(int half, const void* qkv, const void* pad, const float* bias, const int32_t* index, const uint8_t* region,
                       const uint8_t* mixed, const float* scale, const Shape* s, const void* gout, void* gqkv, float* gbias,
                       float* gpad, float* gscale, int threads) {
    return dispatch(s->D, [&](auto D) {
        if (half) backward<D>(operands<bfloat16>(qkv, pad, bias, index, region, mixed, scale), *s, static_cast<const bfloat16*>(gout),
                              static_cast<bfloat16*>(gqkv), gbias, gpad, gscale, threads);
        else backward<D>(operands<float>(qkv, pad, bias, index, region, mixed, scale), *s, static_cast<const float*>(gout),
                         static_cast<float*>(gqkv), gbias, gpad, gscale, threads);
    });
}

}
