/* The sublayers of a transformer, forward and backward, each as one call: at widths of 16 to 128 a
training step in single operations spends most of its time between them.

One thread, float32. Matrices are row-major; a linear layer's weight is (outputs, inputs). Rows are
worked on in chunks that stay in the second-level cache. Gradients of weights and gains are added
to what is there; that of x may be written where that of y is read. The formulas are those of
`block.py`.

Shapes: B sequences of L positions (M of the memory in cross-attention), W width, H heads,
K head size, F hidden size. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __AVX512F__
#define V 16 /* numbers in a vector */
#define R 8  /* rows of a block of a product: R x 3 vectors of sums stay in registers */
#else
#define V 8
#define R 4
#endif
#define CHUNK 128 /* rows */
#define EPS 1e-5f

typedef int64_t integer;
typedef float vec __attribute__((vector_size(4 * V), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * V), aligned(4), may_alias));
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define AT(p) (*(vec *)(p))
#define READ(p) (*(const vec *)(p))

INLINE integer least(integer a, integer b) { return a < b ? a : b; }

/* ---- memory ---------------------------------------------------------------------------------- */

static __thread struct {
    float *start;
    size_t size, used;
} arena;

/* Make room for `floats` numbers of scratch in all, and give back what was taken before. */
static int reserve(size_t floats) {
    arena.used = 0;
    if (floats <= arena.size) return 1;
    free(arena.start);
    arena.start = aligned_alloc(64, (floats * 4 + 63) / 64 * 64);
    arena.size = arena.start ? floats : 0;
    return arena.start != NULL;
}

static float *take(integer floats) {
    float *place = arena.start + arena.used;
    arena.used += (floats + 15) / 16 * 16;
    return place;
}

/* ---- numbers --------------------------------------------------------------------------------- */

INLINE vec pick(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }
INLINE vec larger(vec a, vec b) { return pick(a > b, a, b); }
INLINE vec all(float x) { return x - (vec){0}; }

/* Up to n numbers from p, and those of `other` after them. Sizes are mostly multiples of 8. */
INLINE vec load(const float *p, integer n, vec other) {
    if (n >= V) return READ(p);
    integer done = n >= 8 ? 8 : 0;
    if (done) memcpy(&other, p, 32);
    if (n > done) memcpy((float *)&other + done, p + done, 4 * (n - done));
    return other;
}

INLINE void store(float *p, integer n, vec x) {
    if (n >= V) {
        AT(p) = x;
        return;
    }
    integer done = n >= 8 ? 8 : 0;
    if (done) memcpy(p, &x, 32);
    if (n > done) memcpy(p + done, (float *)&x + done, 4 * (n - done));
}

#if V == 16
#define SPIN8(v) __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)
#define SPIN4(v) __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)
#define SPIN2(v) __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)
#define SPIN1(v) __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14)
#else
#define SPIN4(v) __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3)
#define SPIN2(v) __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5)
#define SPIN1(v) __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6)
#endif

INLINE float sum_of(vec v) {
#if V == 16
    v += SPIN8(v);
#endif
    v += SPIN4(v);
    v += SPIN2(v);
    v += SPIN1(v);
    return v[0];
}

INLINE float largest_of(vec v) {
#if V == 16
    v = larger(v, SPIN8(v));
#endif
    v = larger(v, SPIN4(v));
    v = larger(v, SPIN2(v));
    v = larger(v, SPIN1(v));
    return v[0];
}

/* e^x for x <= 0 to about one unit in the last place, 0 far below: x = k ln 2 + r, then a polynomial
in r (Moshier's Cephes library, expf). */
INLINE vec exponential(vec x) {
    ivec gone = x < all(-87.0f);
    vec shifted = x * 1.44269504f + 12582912.0f; /* 1.5 * 2^23: the low bits hold k */
    vec k = shifted - 12582912.0f;
    vec r = x - k * 0.693359375f + k * 2.12194440e-4f;
    vec p = 1.9875691500e-4f * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    vec power = (vec)(((ivec)shifted << 23) + (127 << 23));
    return pick(gone, all(0), p * power);
}

/* The normal distribution function of x, and its density: GELU is x times the former. The error
function is formula 7.1.26 of Abramowitz and Stegun, absolute error below 1.5e-7. */
INLINE vec normal(vec x, vec *density) {
    vec size = pick(x < all(0), -x, x) * 0.70710678f;
    vec t = 1.0f / (1.0f + 0.3275911f * size);
    vec bell = exponential(-size * size);
    vec p = 1.061405429f * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    vec tail = 0.5f * p * t * bell;
    *density = 0.39894228f * bell;
    return pick(x < all(0), tail, 1.0f - tail);
}

/* ---- products -------------------------------------------------------------------------------- */

/* rows x (nv V) of c, with or without what is there, plus the product of a and a packed panel; of the
last V columns `last` are real. */
#define BLOCK(rows, nv)                                                                            \
    static void block_##rows##_##nv(integer K, const float *a, integer rs, integer cs,             \
                                    const float *panel, float *c, integer ldc, integer last,       \
                                    int add) {                                                     \
        vec sum[rows][nv];                                                                         \
        UNROLL for (int m = 0; m < rows; m++) UNROLL for (int n = 0; n < nv; n++) {                \
            const float *from = c + m * ldc + n * V;                                               \
            if (!add) sum[m][n] = all(0);                                                          \
            else if (n < nv - 1) sum[m][n] = READ(from);                                           \
            else sum[m][n] = load(from, last, all(0));                                             \
        }                                                                                          \
        for (integer k = 0; k < K; k++) {                                                          \
            vec b[nv];                                                                             \
            UNROLL for (int n = 0; n < nv; n++) b[n] = READ(panel + (k * nv + n) * V);             \
            UNROLL for (int m = 0; m < rows; m++) {                                                \
                vec x = all(a[m * rs + k * cs]);                                                   \
                UNROLL for (int n = 0; n < nv; n++) sum[m][n] += x * b[n];                         \
            }                                                                                      \
        }                                                                                          \
        UNROLL for (int m = 0; m < rows; m++) UNROLL for (int n = 0; n < nv; n++) {                \
            float *to = c + m * ldc + n * V;                                                       \
            if (n < nv - 1) AT(to) = sum[m][n];                                                    \
            else store(to, last, sum[m][n]);                                                       \
        }                                                                                          \
    }
#define BLOCKS(rows) BLOCK(rows, 1) BLOCK(rows, 2) BLOCK(rows, 3)
BLOCKS(1)
BLOCKS(4)
#if R == 8
BLOCKS(8)
#define BEST(nv) block_8_##nv
#else
#define BEST(nv) block_4_##nv
#endif

typedef void block(integer, const float *, integer, integer, const float *, float *, integer,
                   integer, int);
static block *const FULL[] = {BEST(1), BEST(2), BEST(3)};
static block *const FOUR[] = {block_4_1, block_4_2, block_4_3};
static block *const ONE[] = {block_1_1, block_1_2, block_1_3};

/* c (M, N) = a b, or c += a b: element (m, k) of a lies at a[m rs + k cs], b is (K, N). */
static void product(integer M, integer N, integer K, const float *a, integer rs, integer cs,
                    const float *b, integer ldb, float *c, integer ldc, int add) {
    size_t before = arena.used;
    float *panel = take(K * 3 * V);
    for (integer n = 0; n < N;) {
        integer left = (N - n + V - 1) / V, nv = left == 4 ? 2 : least(left, 3);
        integer columns = nv * V, real = least(columns, N - n);
        for (integer k = 0; k < K; k++) {
            const float *from = b + k * ldb + n;
            float *to = panel + k * columns;
            for (integer i = 0; i < columns; i += V) AT(to + i) = load(from + i, real - i, all(0));
        }
        for (integer m = 0; m < M;) {
            integer rows = M - m >= R ? R : M - m >= 4 ? 4 : 1;
            block *best = (rows == R ? FULL : rows == 4 ? FOUR : ONE)[nv - 1];
            best(K, a + m * rs, rs, cs, panel, c + m * ldc + n, ldc, real - columns + V, add);
            m += rows;
        }
        n += columns;
    }
    arena.used = before;
}

/* (rows, columns) to (columns, rows). */
static void turn(integer rows, integer columns, const float *from, integer ld, float *to,
                 integer ldt) {
    for (integer r0 = 0; r0 < rows; r0 += 16)
        for (integer c = 0; c < columns; c++)
            for (integer r = r0; r < least(rows, r0 + 16); r++) to[c * ldt + r] = from[r * ld + c];
}

/* ---- norm ------------------------------------------------------------------------------------ */

/* Mean and reciprocal standard deviation of n numbers. */
INLINE void moments(integer n, const float *x, float *mean, float *scale) {
    vec sum = all(0), squares = all(0);
    float rest = 0, rest_squares = 0;
    integer i = 0;
    for (; i + V <= n; i += V) sum += READ(x + i);
    for (integer j = i; j < n; j++) rest += x[j];
    *mean = (sum_of(sum) + rest) / n;
    for (i = 0; i + V <= n; i += V) {
        vec d = READ(x + i) - *mean;
        squares += d * d;
    }
    for (; i < n; i++) rest_squares += (x[i] - *mean) * (x[i] - *mean);
    *scale = 1 / sqrtf((sum_of(squares) + rest_squares) / n + EPS);
}

/* Layer norm with a gain and no bias; without a gain a copy. */
static void norm(integer rows, integer n, const float *x, integer ldx, const float *gain, float *y,
                 integer ldy) {
    for (integer r = 0; r < rows; r++, x += ldx, y += ldy) {
        float mean = 0, scale = 1;
        if (gain) moments(n, x, &mean, &scale);
        integer i = 0;
        for (; i + V <= n; i += V)
            AT(y + i) = (READ(x + i) - mean) * scale * (gain ? READ(gain + i) : all(1));
        for (; i < n; i++) y[i] = (x[i] - mean) * scale * (gain ? gain[i] : 1);
    }
}

/* to_x = base + the gradient through a norm of x; base may be NULL, or to_x itself. */
static void norm_backward(integer rows, integer n, const float *x, integer ldx, const float *gain,
                          const float *g, integer ldg, const float *base, float *to_x, integer ldt,
                          float *to_gain) {
    for (integer r = 0; r < rows; r++, x += ldx, g += ldg, to_x += ldt) {
        const float *under = base ? base + r * ldt : NULL;
        float mean, scale, a = 0, b = 0;
        integer i = 0;
        if (!gain) {
            for (; i < n; i++) to_x[i] = under ? under[i] + g[i] : g[i];
            continue;
        }
        moments(n, x, &mean, &scale);
        vec sum_a = all(0), sum_b = all(0);
        for (; i + V <= n; i += V) {
            vec hat = (READ(x + i) - mean) * scale, to_hat = READ(g + i) * READ(gain + i);
            AT(to_gain + i) += READ(g + i) * hat;
            sum_a += to_hat;
            sum_b += to_hat * hat;
        }
        for (; i < n; i++) {
            float hat = (x[i] - mean) * scale, to_hat = g[i] * gain[i];
            to_gain[i] += g[i] * hat;
            a += to_hat;
            b += to_hat * hat;
        }
        a = (a + sum_of(sum_a)) / n;
        b = (b + sum_of(sum_b)) / n;
        for (i = 0; i + V <= n; i += V) {
            vec hat = (READ(x + i) - mean) * scale;
            vec to = (READ(g + i) * READ(gain + i) - a - hat * b) * scale;
            if (under) to += READ(under + i);
            AT(to_x + i) = to;
        }
        for (; i < n; i++) {
            float hat = (x[i] - mean) * scale;
            float to = (g[i] * gain[i] - a - hat * b) * scale;
            to_x[i] = under ? under[i] + to : to;
        }
    }
}

/* ---- MLP ------------------------------------------------------------------------------------- */

struct mlp {
    integer rows, width, hidden, gated; /* gated: `up` has 2 F outputs, gates before values */
    const float *x, *gain, *up, *down;
    float *slope, *active, *y; /* (rows, F or 2 F): the GELU's slope, then values; its result; (rows, W) */
    const float *g;
    float *to_x, *to_gain, *to_up, *to_down;
};

/* The GELU of gates: its result, its slope in their place, and what goes on (another place than the
result where values multiply it). */
static void activate(const struct mlp *s, integer rows, float *slope, float *active, float *on) {
    integer F = s->hidden, ld = s->gated ? 2 * F : F;
    for (integer r = 0; r < rows; r++, slope += ld, active += F, on += F)
        for (integer i = 0; i < F; i += V) {
            vec u = load(slope + i, F - i, all(0)), density, share = normal(u, &density);
            store(slope + i, F - i, share + u * density);
            store(active + i, F - i, u * share);
            if (s->gated) store(on + i, F - i, u * share * load(slope + F + i, F - i, all(0)));
        }
}

/* From the gradient of what went on to that before the activation. */
static void activate_backward(const struct mlp *s, integer rows, const float *slope,
                              const float *active, float *g, float *to_before) {
    integer F = s->hidden, ld = s->gated ? 2 * F : F;
    for (integer r = 0; r < rows; r++, slope += ld, active += F, g += F, to_before += ld)
        for (integer i = 0; i < F; i += V) {
            vec to = load(g + i, F - i, all(0)), d = load(slope + i, F - i, all(0));
            if (s->gated) {
                vec value = load(slope + F + i, F - i, all(0)), a = load(active + i, F - i, all(0));
                store(to_before + F + i, F - i, to * a);
                store(g + i, F - i, a * value); /* what went on, for the gradient of `down` */
                to *= value;
            }
            store(to_before + i, F - i, to * d);
        }
}

int mlp_forward(const struct mlp *s) {
    integer W = s->width, F = s->hidden, U = s->gated ? 2 * F : F;
    integer longest = W > U ? W : U;
    if (!reserve((U + F) * W + CHUNK * (W + F) + longest * 3 * V + 256)) return 1;
    float *up = take(U * W), *down = take(F * W), *normed = take(CHUNK * W), *room = take(CHUNK * F);
    turn(U, W, s->up, W, up, U);
    turn(W, F, s->down, F, down, W);
    for (integer m = 0; m < s->rows; m += CHUNK) {
        integer rows = least(CHUNK, s->rows - m);
        const float *x = s->x + m * W;
        float *slope = s->slope + m * U, *active = s->active + m * F, *y = s->y + m * W;
        float *on = s->gated ? room : active;
        norm(rows, W, x, W, s->gain, normed, W);
        product(rows, U, W, normed, W, 1, up, U, slope, U, 0);
        activate(s, rows, slope, active, on);
        memcpy(y, x, 4 * rows * W);
        product(rows, W, F, on, F, 1, down, W, y, W, 1);
    }
    return 0;
}

int mlp_backward(const struct mlp *s) {
    integer W = s->width, F = s->hidden, U = s->gated ? 2 * F : F;
    integer longest = W > U ? W : U;
    if (longest < CHUNK) longest = CHUNK;
    if (!reserve(CHUNK * (2 * W + F + U) + longest * 3 * V + 256)) return 1;
    float *normed = take(CHUNK * W), *to_normed = take(CHUNK * W), *to_on = take(CHUNK * F),
          *to_before = take(CHUNK * U);
    for (integer m = 0; m < s->rows; m += CHUNK) {
        integer rows = least(CHUNK, s->rows - m);
        const float *x = s->x + m * W, *g = s->g + m * W, *active = s->active + m * F;
        product(rows, F, W, g, W, 1, s->down, F, to_on, F, 0);
        activate_backward(s, rows, s->slope + m * U, active, to_on, to_before);
        product(W, F, rows, g, 1, W, s->gated ? to_on : active, F, s->to_down, F, 1);
        norm(rows, W, x, W, s->gain, normed, W);
        product(U, W, rows, to_before, 1, U, normed, W, s->to_up, W, 1);
        product(rows, W, U, to_before, U, 1, s->up, W, to_normed, W, 0);
        norm_backward(rows, W, x, W, s->gain, to_normed, W, g, s->to_x + m * W, W, s->to_gain);
    }
    return 0;
}

/* ---- attention ------------------------------------------------------------------------------- */

struct attention {
    integer batch, length, memory_length, width, heads, causal;
    const float *x, *memory; /* (B, L, W), (B, M, W); memory is NULL in self-attention */
    const float *gain;       /* of the norm before */
    const float *w_x, *w_memory; /* (3 W, W) and NULL, or (W, W) for queries, (2 W, W) for the rest */
    const float *gain_q, *gain_k; /* (K,), or NULL */
    const float *w_out, *bias;    /* bias (H, L, M), or NULL */
    float *from_x, *from_memory;  /* the projections, before their norms */
    float *chances, *mixed, *y;   /* (B, H, L, M), (B, L, W), (B, L, W) */
    const float *g;
    float *to_x, *to_memory, *to_gain, *to_w_x, *to_w_memory, *to_gain_q, *to_gain_k, *to_w_out,
        *to_bias;
};

/* Where queries, keys and values of sequence b lie, and the distance of their rows. */
struct heads {
    float *q, *k, *v;
    integer ldq, ldk;
};

static struct heads heads_of(const struct attention *s, float *from_x, float *from_memory,
                             integer b) {
    integer L = s->length, M = s->memory_length, W = s->width;
    if (!s->memory) {
        float *q = from_x + b * L * 3 * W;
        return (struct heads){q, q + W, q + 2 * W, 3 * W, 3 * W};
    }
    float *k = from_memory + b * M * 2 * W;
    return (struct heads){from_x + b * L * W, k, k + W, W, 2 * W};
}

static integer outputs_of(const struct attention *s) { return s->memory ? s->width : 3 * s->width; }

static integer sequences(const struct attention *s) {
    integer longest = s->length > s->memory_length ? s->length : s->memory_length;
    return longest >= CHUNK ? 1 : CHUNK / longest;
}

static float highest(integer n, const float *x) {
    float top = -INFINITY;
    vec tops = all(-INFINITY);
    integer i = 0;
    for (; i + V <= n; i += V) tops = larger(tops, READ(x + i));
    for (; i < n; i++) top = x[i] > top ? x[i] : top;
    float also = largest_of(tops);
    return also > top ? also : top;
}

/* x = e^(x - top); their sum. */
static float exponentials(integer n, float *x, float top) {
    vec sums = all(0);
    for (integer i = 0; i < n; i += V) {
        vec e = exponential(load(x + i, n - i, all(-INFINITY)) - top);
        sums += e;
        store(x + i, n - i, e);
    }
    return sum_of(sums);
}

/* Softmax of each row of scores; of a causal one, row m has m + 1 numbers and zeros after them. */
static void softmax(integer rows, integer n, float *x, integer ld, integer first, int causal) {
    for (integer r = 0; r < rows; r++, x += ld) {
        integer real = causal ? least(n, first + r + 1) : n;
        float share = 1 / exponentials(real, x, highest(real, x));
        for (integer i = 0; i < real; i++) x[i] *= share;
        for (integer i = real; i < n; i++) x[i] = 0;
    }
}

#define ROWS 32 /* of scores at a time: in causal attention what lies after them is not computed */

static void attend(const struct attention *s, integer b, float *q, float *k, float *kT, float *v) {
    integer L = s->length, M = s->memory_length, W = s->width, K = W / s->heads;
    float scale = 1 / sqrtf(K);
    struct heads at = heads_of(s, s->from_x, s->from_memory, b);
    for (integer h = 0; h < s->heads; h++) {
        float *chances = s->chances + (b * s->heads + h) * L * M;
        norm(L, K, at.q + h * K, at.ldq, s->gain_q, q, K);
        norm(M, K, at.k + h * K, at.ldk, s->gain_k, k, K);
        norm(M, K, at.v + h * K, at.ldk, NULL, v, K);
        for (integer i = 0; i < L * K; i++) q[i] *= scale;
        turn(M, K, k, K, kT, M);
        for (integer m = 0; m < L; m += ROWS) {
            integer rows = least(ROWS, L - m), seen = s->causal ? m + rows : M;
            float *scores = chances + m * M, *mixed = s->mixed + (b * L + m) * W + h * K;
            if (s->bias) memcpy(scores, s->bias + (h * L + m) * M, 4 * rows * M);
            product(rows, seen, K, q + m * K, K, 1, kT, M, scores, M, s->bias != NULL);
            softmax(rows, seen, scores, M, m, s->causal);
            for (integer r = 0; r < rows; r++)
                memset(scores + r * M + seen, 0, 4 * (M - seen));
            product(rows, K, seen, scores, M, 1, v, K, mixed, W, 0);
        }
    }
}

int attention_forward(const struct attention *s) {
    integer L = s->length, M = s->memory_length, W = s->width, G = sequences(s);
    integer O = outputs_of(s), K = W / s->heads, longest = 3 * W > M ? 3 * W : M;
    if (!reserve((4 * W + O) * W + G * L * W + (L + 3 * M) * K + longest * 3 * V + 256)) return 1;
    float *w_x = take(O * W), *w_memory = take(2 * W * W), *out = take(W * W),
          *normed = take(G * L * W);
    float *q = take(L * K), *k = take(M * K), *kT = take(M * K), *v = take(M * K);
    turn(O, W, s->w_x, W, w_x, O);
    turn(W, W, s->w_out, W, out, W);
    if (s->memory) turn(2 * W, W, s->w_memory, W, w_memory, 2 * W);
    for (integer b = 0; b < s->batch; b += G) {
        integer count = least(G, s->batch - b), rows = count * L;
        const float *x = s->x + b * L * W;
        norm(rows, W, x, W, s->gain, normed, W);
        product(rows, O, W, normed, W, 1, w_x, O, s->from_x + b * L * O, O, 0);
        if (s->memory)
            product(count * M, 2 * W, W, s->memory + b * M * W, W, 1, w_memory, 2 * W,
                    s->from_memory + b * M * 2 * W, 2 * W, 0);
        for (integer i = 0; i < count; i++) attend(s, b + i, q, k, kT, v);
        memcpy(s->y + b * L * W, x, 4 * rows * W);
        product(rows, W, W, s->mixed + b * L * W, W, 1, out, W, s->y + b * L * W, W, 1);
    }
    return 0;
}

struct rooms {
    float *q, *k, *v, *vT, *to_q, *to_k, *to_v, *to_scores;
};

/* Gradients of one sequence, from those of what its heads mixed to those of the projections. */
static void attend_backward(const struct attention *s, integer b, const float *to_mixed,
                            struct heads to, struct rooms t) {
    integer L = s->length, M = s->memory_length, W = s->width, K = W / s->heads;
    float scale = 1 / sqrtf(K);
    struct heads at = heads_of(s, s->from_x, s->from_memory, b);
    for (integer h = 0; h < s->heads; h++) {
        const float *chances = s->chances + (b * s->heads + h) * L * M;
        norm(L, K, at.q + h * K, at.ldq, s->gain_q, t.q, K);
        norm(M, K, at.k + h * K, at.ldk, s->gain_k, t.k, K);
        for (integer i = 0; i < L * K; i++) t.q[i] *= scale;
        turn(M, K, at.v + h * K, at.ldk, t.vT, M);
        memset(t.to_k, 0, 4 * M * K);
        memset(t.to_v, 0, 4 * M * K);
        for (integer m = 0; m < L; m += ROWS) {
            integer rows = least(ROWS, L - m), seen = s->causal ? m + rows : M;
            const float *p = chances + m * M, *g = to_mixed + m * W + h * K;
            product(seen, K, rows, p, 1, M, g, W, t.to_v, K, 1);
            product(rows, seen, K, g, W, 1, t.vT, M, t.to_scores, M, 0);
            for (integer r = 0; r < rows; r++) {
                float *d = t.to_scores + r * M;
                const float *c = p + r * M;
                vec sums = all(0);
                float sum = 0;
                integer i = 0;
                for (; i + V <= seen; i += V) sums += READ(d + i) * READ(c + i);
                for (; i < seen; i++) sum += d[i] * c[i];
                sum += sum_of(sums);
                for (i = 0; i + V <= seen; i += V) AT(d + i) = (READ(d + i) - sum) * READ(c + i);
                for (; i < seen; i++) d[i] = (d[i] - sum) * c[i];
                if (s->to_bias) {
                    float *into = s->to_bias + (h * L + m + r) * M;
                    for (i = 0; i < seen; i++) into[i] += d[i];
                }
            }
            product(rows, K, seen, t.to_scores, M, 1, t.k, K, t.to_q + m * K, K, 0);
            product(seen, K, rows, t.to_scores, 1, M, t.q + m * K, K, t.to_k, K, 1);
        }
        for (integer i = 0; i < L * K; i++) t.to_q[i] *= scale;
        norm_backward(L, K, at.q + h * K, at.ldq, s->gain_q, t.to_q, K, NULL, to.q + h * K, to.ldq,
                      s->to_gain_q);
        norm_backward(M, K, at.k + h * K, at.ldk, s->gain_k, t.to_k, K, NULL, to.k + h * K, to.ldk,
                      s->to_gain_k);
        norm(M, K, t.to_v, K, NULL, to.v + h * K, to.ldk);
    }
}

int attention_backward(const struct attention *s) {
    integer L = s->length, M = s->memory_length, W = s->width, G = sequences(s);
    integer O = outputs_of(s), K = W / s->heads, longest = G * L > G * M ? G * L : G * M;
    longest = longest > 3 * W ? longest : 3 * W;
    if (!reserve(G * L * (3 * W + O) + 2 * G * M * W + (2 * L + 5 * M) * K + ROWS * M +
                 longest * 3 * V + 512))
        return 1;
    float *normed = take(G * L * W), *to_normed = take(G * L * W), *to_mixed = take(G * L * W),
          *to_from_x = take(G * L * O), *to_from_memory = take(2 * G * M * W);
    struct rooms t = {take(L * K), take(M * K), NULL,        take(M * K), take(L * K),
                      take(M * K), take(M * K), take(ROWS * M)};
    for (integer b = 0; b < s->batch; b += G) {
        integer count = least(G, s->batch - b), rows = count * L;
        const float *x = s->x + b * L * W, *g = s->g + b * L * W;
        product(rows, W, W, g, W, 1, s->w_out, W, to_mixed, W, 0);
        product(W, W, rows, g, 1, W, s->mixed + b * L * W, W, s->to_w_out, W, 1);
        for (integer i = 0; i < count; i++)
            attend_backward(s, b + i, to_mixed + i * L * W,
                            heads_of(s, to_from_x, to_from_memory, i), t);
        norm(rows, W, x, W, s->gain, normed, W);
        product(O, W, rows, to_from_x, 1, O, normed, W, s->to_w_x, W, 1);
        product(rows, W, O, to_from_x, O, 1, s->w_x, W, to_normed, W, 0);
        norm_backward(rows, W, x, W, s->gain, to_normed, W, g, s->to_x + b * L * W, W, s->to_gain);
        if (s->memory) {
            const float *memory = s->memory + b * M * W;
            product(2 * W, W, count * M, to_from_memory, 1, 2 * W, memory, W, s->to_w_memory, W, 1);
            product(count * M, W, 2 * W, to_from_memory, 2 * W, 1, s->w_memory, W,
                    s->to_memory + b * M * W, W, 0);
        }
    }
    return 0;
}

/* ---- output layer and loss ------------------------------------------------------------------- */

struct head {
    integer rows, width, classes;
    const float *x, *gain, *weight; /* gain may be NULL: no norm before the layer */
    const integer *target;          /* (rows,) */
    float *odds, *totals, *y;       /* (rows, classes), NULL where no gradient is wanted; (rows,) */
    const float *g;                 /* (rows,) */
    float *to_x, *to_gain, *to_weight;
};

int head_forward(const struct head *s) {
    integer W = s->width, C = s->classes;
    if (!reserve(W * C + CHUNK * (W + C) + W * 3 * V + 256)) return 1;
    float *weight = take(W * C), *normed = take(CHUNK * W), *room = take(CHUNK * C);
    turn(C, W, s->weight, W, weight, C);
    for (integer m = 0; m < s->rows; m += CHUNK) {
        integer rows = least(CHUNK, s->rows - m);
        float *odds = s->odds ? s->odds + m * C : room;
        norm(rows, W, s->x + m * W, W, s->gain, normed, W);
        product(rows, C, W, normed, W, 1, weight, C, odds, C, 0);
        for (integer r = 0; r < rows; r++) {
            float *x = odds + r * C, aim = x[s->target[m + r]], top = highest(C, x);
            float total = exponentials(C, x, top);
            s->y[m + r] = logf(total) + top - aim;
            if (s->totals) s->totals[m + r] = total;
        }
    }
    return 0;
}

int head_backward(const struct head *s) {
    integer W = s->width, C = s->classes, longest = C > CHUNK ? C : CHUNK;
    if (!reserve(CHUNK * (2 * W + C) + longest * 3 * V + 256)) return 1;
    float *normed = take(CHUNK * W), *to_normed = take(CHUNK * W), *d = take(CHUNK * C);
    for (integer m = 0; m < s->rows; m += CHUNK) {
        integer rows = least(CHUNK, s->rows - m);
        const float *x = s->x + m * W, *odds = s->odds + m * C;
        for (integer r = 0; r < rows; r++) {
            float g = s->g[m + r], share = g / s->totals[m + r];
            for (integer i = 0; i < C; i++) d[r * C + i] = odds[r * C + i] * share;
            d[r * C + s->target[m + r]] -= g;
        }
        norm(rows, W, x, W, s->gain, normed, W);
        product(C, W, rows, d, 1, C, normed, W, s->to_weight, W, 1);
        product(rows, W, C, d, C, 1, s->weight, W, to_normed, W, 0);
        norm_backward(rows, W, x, W, s->gain, to_normed, W, NULL, s->to_x + m * W, W, s->to_gain);
    }
    return 0;
}

/* ---- embedding ------------------------------------------------------------------------------- */

struct embedding {
    integer batch, length, width;
    const integer *token;          /* (B, L) */
    const float *table, *position; /* position (at least L, W), or NULL */
    float *y;
    const float *g;
    float *to_table, *to_position;
};

int embedding_forward(const struct embedding *s) {
    integer L = s->length, W = s->width;
    for (integer r = 0; r < s->batch * L; r++) {
        const float *row = s->table + s->token[r] * W, *place = s->position + r % L * W;
        float *y = s->y + r * W;
        for (integer i = 0; i < W; i++) y[i] = s->position ? row[i] + place[i] : row[i];
    }
    return 0;
}

int embedding_backward(const struct embedding *s) {
    integer L = s->length, W = s->width;
    for (integer r = 0; r < s->batch * L; r++) {
        const float *g = s->g + r * W;
        float *row = s->to_table + s->token[r] * W, *place = s->to_position + r % L * W;
        for (integer i = 0; i < W; i++) row[i] += g[i];
        if (s->position)
            for (integer i = 0; i < W; i++) place[i] += g[i];
    }
    return 0;
}

/* ---- AdamW ----------------------------------------------------------------------------------- */

struct tensor {
    integer size;
    float *value, *gradient, *first, *second;
    const float *keep; /* 1 and 0 by weight, or NULL: all are trained */
    float decay;
};

struct step {
    integer count, hold;
    const struct tensor *tensors;
    float rate, beta1, beta2, correction1, correction2, eps, limit; /* limit 0: no clipping */
    float norm;                                                     /* filled in */
};

/* Of one tensor; `keep` may be NULL. */
INLINE void update(const struct step *s, const struct tensor *p, const float *restrict keep,
                   float factor) {
    float *restrict value = p->value, *restrict gradient = p->gradient;
    float *restrict first = p->first, *restrict second = p->second;
    float size = s->rate / s->correction1, root = 1 / sqrtf(s->correction2), eps = s->eps;
    float b1 = 1 - s->beta1, b2 = 1 - s->beta2, beta2 = s->beta2, shrink = 1 - s->rate * p->decay;
    for (integer i = 0; i < p->size; i++) {
        float share = keep ? keep[i] : 1, g = gradient[i] *= factor;
        float mean = first[i] + b1 * (g - first[i]), square = beta2 * second[i] + b2 * g * g;
        float moved = value[i] * shrink - size * mean / (sqrtf(square) * root + eps);
        first[i] = mean * share;
        second[i] = square * share;
        value[i] = moved * share;
    }
}

/* Clip by the joint norm of the gradients of the weights that are kept, scaling all of them; then
AdamW (Loshchilov & Hutter 2019). With `hold`, weights that are not kept, and their moments, become
zero. */
void adamw(struct step *s) {
    double squares = 0;
    for (integer t = 0; t < s->count; t++) {
        const struct tensor *p = s->tensors + t;
        vec sums = all(0);
        float rest = 0;
        integer i = 0;
        for (; i + V <= p->size; i += V) {
            vec g = READ(p->gradient + i);
            if (p->keep) g *= READ(p->keep + i);
            sums += g * g;
        }
        for (; i < p->size; i++) {
            float g = p->gradient[i] * (p->keep ? p->keep[i] : 1);
            rest += g * g;
        }
        squares += sum_of(sums) + rest;
    }
    s->norm = (float)sqrt(squares);
    float factor = s->limit > 0 ? s->limit / (s->norm + 1e-6f) : 1;
    factor = factor < 1 || factor != factor ? factor : 1;
    for (integer t = 0; t < s->count; t++) {
        const struct tensor *p = s->tensors + t;
        if (p->keep && s->hold) update(s, p, p->keep, factor); /* loops without a branch */
        else update(s, p, NULL, factor);
    }
}

/* ---- several kernels ------------------------------------------------------------------------- */

struct call {
    int (*function)(const void *);
    const void *arguments;
};

/* Make calls in order, up to one that fails. */
int play(integer count, const struct call *calls) {
    for (integer i = 0; i < count; i++)
        if (calls[i].function(calls[i].arguments)) return 1;
    return 0;
}
