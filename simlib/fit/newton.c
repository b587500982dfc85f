/* The steps of `newton.py`, one member after the other: the same method, compiled.

Numbers of neighbouring runs lie side by side in a vector; `parts` counts vectors, and the runs
that fill up the last one have weight 0. A term of the law is `exp(sum of theta[coordinate] *
values)` over its entries; a design is mostly zeros, so only its entries are kept. One thread,
double precision. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define V 8
#define TILE 64 /* vectors whose terms are kept: they fit the second-level cache */
#define K 16    /* at most so many coefficients */
#define INLINE static inline __attribute__((always_inline))

typedef double vec __attribute__((vector_size(8 * V)));
typedef double loose __attribute__((vector_size(8 * V), aligned(8)));
typedef int64_t ivec __attribute__((vector_size(8 * V)));

typedef struct { /* as in compiled.py */
    int64_t members, parts, terms, k, log;
    int64_t target_stride, weights_stride; /* parts, or 0 where all members share */
    int64_t steps;                         /* at most */
    const int64_t *first;                  /* (terms + 1): where each term's entries begin */
    const int64_t *coordinate;             /* (entries) */
    const loose *values, *offset;          /* (entries, parts), (terms, parts) */
    const loose *target, *weights;         /* (parts) or (members, parts) */
    const double *lower, *upper;           /* (k) */
    const int64_t *valleys;       /* amplitude, exponent and floor of each; -1 after the last */
    const int64_t *at;            /* (members): the coordinate that is held; -1 for none */
    const double *row, *constant; /* (members, k), (members): what it is held at */
    double delta, tolerance, ridge, least, damping, less, more;
} Problem;

typedef struct {
    double gradient[K], hessian[K][K], metric[K][K];
} Model;

INLINE vec all(double x) { return (vec){x, x, x, x, x, x, x, x}; }
INLINE vec pick(ivec mask, vec yes, vec no) {
    return (vec)((mask & (ivec)yes) | (~mask & (ivec)no));
}
INLINE vec least(vec a, vec b) { return pick(a < b, a, b); }
INLINE vec most(vec a, vec b) { return pick(a > b, a, b); }
INLINE double sum(vec a) {
    return ((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7]));
}

#define ROUND 0x1.8p52 /* adding it leaves a whole number in the last bits */

/* exp for x in [-700, 600], to the last digit or two: 2^n times a Taylor polynomial. */
INLINE vec exponential(vec x) {
    x = most(least(x, all(600)), all(-700));
    vec shifted = x * 0x1.71547652b82fep0 + ROUND, n = shifted - ROUND;
    vec r = x - n * 0x1.62e42fefa39efp-1 - n * 0x1.abc9e3b39803fp-56, y = all(1.0 / 6227020800.0);
    static const double inverse[] = {1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880,
                                     1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24,
                                     1.0 / 6, 0.5, 1, 1};
    for (int i = 0; i < 13; i++) y = y * r + inverse[i];
    return (vec)((ivec)y + ((ivec)shifted << 52));
}

/* log of positive numbers: the exponent, and the series of 2 atanh((m - 1) / (m + 1)). */
INLINE vec logarithm(vec x) {
    ivec bits = (ivec)x, n = (bits - 0x3fe6a09e667f3bcd) >> 52;
    vec m = (vec)(bits - (n << 52)), f = (m - 1) / (m + 1), f2 = f * f, y = all(1.0 / 23);
    for (int i = 21; i > 0; i -= 2) y = y * f2 + 1.0 / i;
    vec power = (vec)((ivec)all(ROUND) + n) - ROUND;
    return power * 0x1.62e42fefa39efp-1 + 2 * f * y;
}

/* What is known of one tile's runs at a theta: the terms, their sum and the residual. */
typedef struct {
    vec term[K][TILE], total[TILE], residual[TILE];
} Tile;

/* The tile that begins at a part, and what its runs add to the objective. */
static double tile_at(const Problem *p, int64_t member, const double *theta, int64_t begin,
                      Tile *tile) {
    int64_t n = p->parts - begin < TILE ? p->parts - begin : TILE;
    const loose *target = p->target + member * p->target_stride + begin;
    const loose *weights = p->weights + member * p->weights_stride + begin;
    vec value = all(0);
    for (int64_t i = 0; i < n; i++) {
        vec total = all(0);
        for (int64_t t = 0; t < p->terms; t++) {
            vec x = p->offset[t * p->parts + begin + i];
            for (int64_t e = p->first[t]; e < p->first[t + 1]; e++)
                x += theta[p->coordinate[e]] * p->values[e * p->parts + begin + i];
            total += tile->term[t][i] = exponential(x);
        }
        vec residual = (p->log ? logarithm(total) : total) - target[i];
        vec size = most(residual, -residual), inner = least(size, all(p->delta));
        value += weights[i] * inner * (size - 0.5 * inner);
        tile->total[i] = total, tile->residual[i] = residual;
    }
    return sum(value);
}

/* Add the tile's part to gradient, Hessian and metric; see `_derivatives` in newton.py. */
static void add(const Problem *p, int64_t member, int64_t begin, const Tile *tile, Model *m) {
    vec slope[K][TILE], psi[TILE], bend[TILE], again[TILE], s[TILE], u[TILE];
    int64_t k = p->k, n = p->parts - begin < TILE ? p->parts - begin : TILE;
    const loose *weights = p->weights + member * p->weights_stride + begin;
    for (int64_t i = 0; i < n; i++) {
        vec w = weights[i], r = tile->residual[i], size = most(r, -r);
        psi[i] = w * most(least(r, all(p->delta)), all(-p->delta));
        bend[i] = pick(size <= all(p->delta), w, all(0)) - (p->log ? psi[i] : all(0));
        again[i] = w * least(all(1), p->delta / most(size, all(1e-300)));
        u[i] = p->log ? 1 / tile->total[i] : all(1);
    }
    for (int64_t a = 0; a < k; a++)
        for (int64_t i = 0; i < n; i++) slope[a][i] = all(0);
    for (int64_t t = 0; t < p->terms; t++)
        for (int64_t e = p->first[t]; e < p->first[t + 1]; e++) {
            const loose *values = p->values + e * p->parts + begin;
            vec *to = slope[p->coordinate[e]];
            for (int64_t i = 0; i < n; i++) {
                vec x = tile->term[t][i] * u[i] * values[i];
                to[i] += x, s[i] = psi[i] * x;
            }
            for (int64_t f = e; f < p->first[t + 1]; f++) {
                const loose *other = p->values + f * p->parts + begin;
                vec h = all(0);
                for (int64_t i = 0; i < n; i++) h += s[i] * other[i];
                m->hessian[p->coordinate[e]][p->coordinate[f]] += sum(h);
            }
        }
    for (int64_t a = 0; a < k; a++) {
        vec g = all(0);
        for (int64_t i = 0; i < n; i++) {
            g += psi[i] * slope[a][i];
            s[i] = bend[i] * slope[a][i], u[i] = again[i] * slope[a][i];
        }
        m->gradient[a] += sum(g);
        for (int64_t b = a; b < k; b++) {
            vec h = all(0), c = all(0);
            for (int64_t i = 0; i < n; i++) h += s[i] * slope[b][i], c += u[i] * slope[b][i];
            m->hessian[a][b] += sum(h), m->metric[a][b] += sum(c);
        }
    }
}

/* The objective at theta; the last tile stays as it is there. */
static double value_at(const Problem *p, int64_t member, const double *theta, Tile *tile) {
    double value = 0;
    for (int64_t begin = 0; begin < p->parts; begin += TILE)
        value += tile_at(p, member, theta, begin, tile);
    return value;
}

/* The derivatives at theta, where `value_at` has just been. */
static void model_at(const Problem *p, int64_t member, const double *theta, Tile *tile, Model *m) {
    memset(m, 0, sizeof *m);
    for (int64_t begin = 0; begin < p->parts; begin += TILE) {
        if (p->parts > TILE) tile_at(p, member, theta, begin, tile);
        add(p, member, begin, tile, m);
    }
    for (int64_t a = 0; a < p->k; a++)
        for (int64_t b = 0; b < a; b++)
            m->hessian[a][b] = m->hessian[b][a], m->metric[a][b] = m->metric[b][a];
}

/* Make a symmetric a (k, k) positive definite: a = l d l', and d is taken by magnitude.

A pivot below `least` of the metric's is moved to that. */
static void straighten(int64_t k, double a[K][K], double metric[K][K], double least) {
    double l[K][K], ld[K][K], d[K];
    int changed = 0;
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j <= i; j++) {
            double x = a[i][j];
            for (int64_t c = 0; c < j; c++) x -= l[i][c] * ld[j][c];
            if (j < i) {
                l[i][j] = x / d[j], ld[i][j] = x;
            } else {
                d[i] = copysign(fmax(fabs(x), least * metric[i][i]), x);
                l[i][i] = 1, changed |= d[i] != x || x < 0;
            }
        }
    for (int64_t i = 0; changed && i < k; i++)
        for (int64_t j = 0; j <= i; j++) {
            double x = 0;
            for (int64_t c = 0; c <= j; c++) x += l[i][c] * l[j][c] * fabs(d[c]);
            a[i][j] = a[j][i] = x;
        }
}

/* x = a^-1 x for a positive definite a (k, k), by its root; 0 where rounding makes it none. */
static int solve(int64_t k, double a[K][K], double *x) {
    double l[K][K];
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j <= i; j++) {
            double y = a[i][j];
            for (int64_t c = 0; c < j; c++) y -= l[i][c] * l[j][c];
            if (i == j && !(y > 0)) return 0;
            l[i][j] = i == j ? sqrt(y) : y / l[j][j];
        }
    for (int64_t i = 0; i < k; i++) {
        for (int64_t c = 0; c < i; c++) x[i] -= l[i][c] * x[c];
        x[i] /= l[i][i];
    }
    for (int64_t i = k - 1; i >= 0; i--) {
        for (int64_t c = i + 1; c < k; c++) x[i] -= l[c][i] * x[c];
        x[i] /= l[i][i];
    }
    return 1;
}

/* Derivatives by the free coordinates, which move what is held; see `_free` in newton.py. */
static void hold(const Problem *p, int64_t member, Model *m) {
    int64_t at = p->at[member], k = p->k;
    const double *row = p->row + member * k;
    for (int64_t i = 0; i < k; i++) m->gradient[i] += row[i] * m->gradient[at];
    double(*both[])[K] = {m->hessian, m->metric};
    for (int n = 0; n < 2; n++) {
        double(*a)[K] = both[n];
        for (int64_t i = 0; i < k; i++)
            for (int64_t j = 0; j < k; j++) a[i][j] += row[j] * a[i][at];
        for (int64_t i = 0; i < k; i++)
            for (int64_t j = 0; j < k; j++) a[i][j] += row[i] * a[at][j];
    }
}

/* `_model` of newton.py. */
static void localise(const Problem *p, int64_t member, const double *theta, Model *m) {
    int64_t k = p->k;
    if (p->at[member] >= 0) hold(p, member, m);
    for (int64_t i = 0; i < k; i++) m->metric[i][i] += p->ridge * m->metric[i][i] + 1e-150;
    for (int64_t i = 0; i < k; i++) {
        double g = m->gradient[i];
        if (i == p->at[member] || (theta[i] <= p->lower[i] && g > 0) ||
            (theta[i] >= p->upper[i] && g < 0)) {
            for (int64_t j = 0; j < k; j++)
                m->hessian[i][j] = m->hessian[j][i] = m->metric[i][j] = m->metric[j][i] = 0;
            m->gradient[i] = 0, m->hessian[i][i] = m->metric[i][i] = 1;
        }
    }
    straighten(k, m->hessian, m->metric, p->least);
}

/* A descent step (k) at this damping; returns the fall of the objective that it promises. */
static double descend(int64_t k, const Model *m, double damping, double *step) {
    double work[K][K], promise = 0;
    for (int64_t i = 0; i < k; i++) {
        for (int64_t j = 0; j <= i; j++) work[i][j] = m->hessian[i][j] + damping * m->metric[i][j];
        step[i] = -m->gradient[i];
    }
    if (!solve(k, work, step)) {
        memset(step, 0, k * sizeof *step);
        return INFINITY;
    }
    for (int64_t i = 0; i < k; i++) promise -= step[i] * m->gradient[i];
    return promise;
}

static double within(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

/* Back between the bounds, and to what is held. */
static void place(const Problem *p, int64_t member, double *theta) {
    int64_t k = p->k, at = p->at[member];
    for (int64_t i = 0; i < k; i++) theta[i] = within(theta[i], p->lower[i], p->upper[i]);
    if (at < 0) return;
    double held = p->constant[member];
    for (int64_t i = 0; i < k; i++) held += i == at ? 0 : p->row[member * k + i] * theta[i];
    theta[at] = held;
}

/* `_move` of newton.py. */
static void move(const Problem *p, int64_t member, const double *theta, const double *step,
                 double *new) {
    int64_t k = p->k, at = p->at[member];
    
    for (int64_t i = 0; i < k; i++) new[i] = theta[i] + step[i];
    for (const int64_t *v = p->valleys; v[0] >= 0; v += 3) {
        if (at == v[0] || at == v[1] || at == v[2]) continue;
        double e = exp(theta[v[0]]), b = theta[v[1]], g = exp(theta[v[2]]);
        double ratio = within(new[v[1]] / b, 0.25, 4);
        double slope = within(step[v[0]] + step[v[1]] / b, -3, 3);
        double value = within((e * step[v[0]] + g * step[v[2]]) / (e + g), -3, 3);
        double new_e = e * exp(slope) / ratio, new_g = (e + g) * exp(value) - new_e;
        int turns = p->lower[v[1]] < 0 && new[v[1]] * b <= 0; /* a change of sign */
        if (new_g > 0 && !turns)
            new[v[0]] = log(new_e), new[v[1]] = ratio * b, new[v[2]] = log(new_g);
    }
    place(p, member, new);
}

/* Local minima from theta (members, k), which they replace, with objective and converged. */
void minimise(const Problem *p, double *thetas, double *values, int8_t *converged) {
    Model here;
    Tile *tile = aligned_alloc(sizeof(vec), sizeof *tile);
    double step[K], trial[K];
    for (int64_t member = 0; member < p->members; member++) {
        double *theta = thetas + member * p->k, damping = p->damping;
        int moved = 1;
        place(p, member, theta);
        values[member] = value_at(p, member, theta, tile);
        converged[member] = 0;
        for (int64_t taken = 0; taken < p->steps && !converged[member]; taken++) {
            if (moved) {
                model_at(p, member, theta, tile, &here);
                localise(p, member, theta, &here);
            }
            double promise = descend(p->k, &here, damping, step);
            move(p, member, theta, step, trial);
            double value = value_at(p, member, trial, tile);
            moved = value < values[member];
            damping *= moved ? p->less : p->more;
            if (moved) {
                memcpy(theta, trial, p->k * sizeof *theta);
                values[member] = value;
            }
            converged[member] = promise <= p->tolerance * values[member] || damping > 1e10;
        }
    }
    free(tile);
}
