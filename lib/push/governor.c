/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/push/governor.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/baro_types.h"
#include "lib/base/spin.h"

/*
 * The question: n tensors, each with a cost c_i that is only known from measuring it, and an
 * income of `share` of the time that passes. Which of them are measured in this turn?
 *
 * The account. Income first pays arrears (what was spent without asking: at most 7/8 of it, so
 * that those who ask always get something), then half of the rest pays back the loan, and what
 * remains is credit. What was granted is paid from credit; what credit does not cover becomes
 * loan. So in the long run no more is spent than came in:
 *
 *     spent <= share * time + START + LOAN_MAX + what one turn can cost
 *
 * unless those who do not ask spend more than 7/8 of the income by themselves. Every expense is
 * booked as it was, never as it was expected: wrong expectations cost cadence, not budget.
 * Credit is saved up to SAVED_MAX, or to the cost of what is being saved for.
 *
 * The choice. With I_i turns between two measurements of tensor i, the sum of all c_i / I_i is
 * the income S of a turn; the mean interval is least for I_i proportional to sqrt(c_i)
 * (Lagrange). So a tensor's urgency is
 *
 *     u_i = (turns since it was last due) / sqrt(c_i)
 *
 * and the most urgent come first, as far as credit goes. The first that credit does not cover
 * stops the row: from now on is saved for it, while cheaper ones still pass whenever they have
 * become more urgent than it. So nothing starves, however dear: I_i is about
 * sqrt(c_i) * (sum of sqrt(c)) / S. Worked: costs of 1, 1 and 4 ms, S = 0.1 ms; the sum of roots
 * is 4, so the intervals are 40, 40 and 80 turns, and 1/40 + 1/40 + 4/80 = 0.1.
 *
 * Where everything together costs no more than COHERENT_TURNS turns bring, it is measured
 * together, in every so manieth turn: numbers of one step can be compared with one another.
 *
 * Urgencies are not sorted: their logarithms fall into N_BUCKETS of an eighth of an octave. The
 * first question of a turn adds up the costs in each; so the bucket is known at which credit
 * ends: what lies above is due when it is asked for, what lies in it as far as credit goes.
 *
 * Unit statistics ride along in every r-th measurement of a tensor, where r is a power of two up
 * to 16, the least that is at least sqrt(2 * cost of the units / cost of the rest); in all of
 * them when everything fits into every turn.
 *
 * What was never measured, and what is under attention, is due at once, on loan if need be, and
 * in trouble so is everything; once the loan is LOAN_MAX they only come first in the row.
 *
 * Who is due but is not measured (a layer that was not called) has had its turn. Its reserved
 * money is not spent, and after two such turns it is expected to cost ever less.
 *
 * Threads. Booking and attention are atomic words of an item; everything else is done by
 * governor_due() under a lock. A booking that comes late counts for the next turn.
 */

enum {
    N_BUCKETS = 512, /* 64 octaves of urgency, and the forced above all */
    FORCED = N_BUCKETS - 1,
    EVERYTHING = -1, /* edges beyond all buckets */
    NOTHING = N_BUCKETS,
    COHERENT_TURNS = 16,
    REGULAR_TURNS = 2, /* who asked within so many turns is planned for */
    MAX_BARE = 16
};
#define S_NS 1e9
static const double start_ns = 0.5 * S_NS;
static const double saved_max_ns = 0.5 * S_NS;
static const double loan_max_ns = 2 * S_NS;
static const double arrears_max_ns = 5 * S_NS;
static const double arrears_part = 7.0 / 8;
static const double loan_part = 1.0 / 2;

struct item {
    _Atomic uint64_t booked_ns; /* since the last plan */
    _Atomic uint32_t marks;     /* since the last plan */
    _Atomic uint32_t attended;  /* up to this turn; 0: never was */
    _Atomic uint32_t bare_turn; /* in this turn it is measured without its units */
    /* Guarded by the lock. */
    uint32_t asked_turn; /* 0: never */
    uint32_t due_turn;   /* last; 0: never */
    float whole_ns;      /* expected without unit statistics; 0: not known */
    float both_ns;       /* expected with them; 0: not known */
    float eagerness;     /* 1 / sqrt(cost) */
    uint16_t bucket;     /* of this turn */
    uint8_t n_bare;      /* times due since its units were */
    uint8_t n_unpaid;    /* times due since a measurement was booked */
    bool has_leapt;      /* the last measurement was much dearer than expected */
    bool is_planned;     /* in this turn's sums */
    bool has_units;      /* if it is due in this turn */
};

struct governor {
    double share;
    uint32_t max_id;
    _Atomic uint32_t turn;
    _Atomic uint32_t trouble; /* up to this turn */

    _Atomic uint32_t lock; /* guards what follows */
    uint32_t planned_turn; /* 0: none yet */
    uint64_t seen_ns;      /* until when income is counted */
    uint64_t seen_own_ns;
    double credit_ns;
    double loan_ns;
    double arrears_ns;
    double income_ns;  /* of a turn, on average; 0: not known */
    double whole_ns;   /* what all cost together in this turn */
    double dearest_ns; /* what is saved for; 0: nothing */
    double left_ns;    /* of credit, put aside for nobody in this turn */
    int edge;        /* things of buckets above are due; those in it as far as money goes */
    unsigned top;    /* most urgent bucket of this turn */
    bool is_lending; /* the forced are due whatever it costs */
    bool is_troubled;       /* everything is */
    bool has_units_for_all; /* every turn can pay for everything */
    uint32_t n_due;
    uint32_t n_governed;
    double sums[N_BUCKETS];
    uint32_t *governed; /* ids in the order in which they were first asked for */
    struct item items[];
};

struct governor *governor_create(uint32_t max_id, double share, uint64_t now_ns)
{
    struct governor *g = calloc(1, sizeof *g + ((size_t)max_id + 1) * sizeof g->items[0]);
    if (g == NULL) {
        return NULL;
    }
    g->governed = calloc((size_t)max_id + 1, sizeof *g->governed);
    if (g->governed == NULL) {
        free(g);
        return NULL;
    }
    g->max_id = max_id;
    g->share = share;
    g->seen_ns = now_ns;
    g->credit_ns = start_ns;
    atomic_store(&g->turn, 1);
    return g;
}

void governor_destroy(struct governor *g)
{
    if (g != NULL) {
        free(g->governed);
        free(g);
    }
}

void governor_begin_turn(struct governor *g)
{
    atomic_fetch_add_explicit(&g->turn, 1, memory_order_relaxed);
}

uint32_t governor_turn(const struct governor *g)
{
    return atomic_load_explicit(&g->turn, memory_order_relaxed);
}

/* ---- what any thread may say ---- */

void governor_book(struct governor *g, uint32_t id, uint64_t ns, unsigned marks)
{
    if (id == 0 || id > g->max_id) {
        return;
    }
    struct item *item = &g->items[id];
    atomic_fetch_add_explicit(&item->booked_ns, ns, memory_order_relaxed);
    if ((atomic_load_explicit(&item->marks, memory_order_relaxed) & marks) != marks) {
        atomic_fetch_or_explicit(&item->marks, marks, memory_order_relaxed);
    }
}

/* The last of the next so many turns; never 0, which means never. */
static uint32_t last_of(const struct governor *g, uint32_t n_turns)
{
    uint32_t last = governor_turn(g) + n_turns;
    return last != 0 ? last : 1;
}

/* Tell whether a turn is not after the last one of some; both may have wrapped. */
static bool is_within(uint32_t turn, uint32_t last)
{
    return last != 0 && (int32_t)(last - turn) >= 0;
}

void governor_trouble(struct governor *g, uint32_t n_turns)
{
    uint32_t last = n_turns > 0 ? last_of(g, n_turns) : 0;
    uint32_t before = atomic_load_explicit(&g->trouble, memory_order_relaxed);
    if (last == 0 || !is_within(last, before)) {
        atomic_store_explicit(&g->trouble, last, memory_order_relaxed);
    }
}

void governor_attend(struct governor *g, uint32_t id, uint32_t n_turns)
{
    if (id != 0 && id <= g->max_id && n_turns > 0) {
        atomic_store_explicit(
            &g->items[id].attended, last_of(g, n_turns), memory_order_relaxed);
    }
}

bool governor_wants_units(const struct governor *g, uint32_t id)
{
    return id == 0 || id > g->max_id ||
           atomic_load_explicit(&g->items[id].bare_turn, memory_order_relaxed) !=
               governor_turn(g);
}

/* ---- expectations ---- */

/*
 * Move an expectation to what was found. One slow measurement (the process was not running, a page
 * was not there) must not pass for a new normal; two in a row do.
 */
static float learn(struct item *item, float expected, float found)
{
    bool is_leap = expected > 0 && found > 4 * expected;
    bool was_leap = item->has_leapt;
    item->has_leapt = is_leap;
    if (expected <= 0 || (is_leap && was_leap)) {
        return found;
    }
    return is_leap ? 4 * expected : expected + 0.5F * (found - expected);
}

static float bare_cost(const struct item *item)
{
    return item->whole_ns > 0 ? item->whole_ns : item->both_ns / 2;
}

static float full_cost(const struct item *item)
{
    return item->both_ns > item->whole_ns ? item->both_ns : item->whole_ns;
}

/* In every how manieth measurement the units ride along. */
static unsigned unit_turns(const struct governor *g, const struct item *item)
{
    if (g->has_units_for_all || item->both_ns <= 0) {
        return 1;
    }
    float whole = bare_cost(item);
    float units = full_cost(item) - whole;
    unsigned turns = 1;
    while (turns < MAX_BARE && 2 * units > (float)(turns * turns) * whole) {
        turns *= 2;
    }
    return turns;
}

static bool wants_units(const struct governor *g, const struct item *item)
{
    return item->n_bare + 1U >= unit_turns(g, item);
}

static float cost_of(const struct item *item, bool has_units)
{
    float cost = has_units ? full_cost(item) : bare_cost(item);
    return item->n_unpaid <= 1 ? cost : ldexpf(cost, 1 - (int)item->n_unpaid);
}

static bool is_unseen(const struct item *item)
{
    return item->whole_ns <= 0 && item->both_ns <= 0;
}

/* Take what was booked since the last plan; returns it. */
static double fold(const struct governor *g, struct item *item)
{
    if (atomic_load_explicit(&item->booked_ns, memory_order_relaxed) == 0 &&
        atomic_load_explicit(&item->marks, memory_order_relaxed) == 0) {
        return 0;
    }
    uint64_t ns = atomic_exchange_explicit(&item->booked_ns, 0, memory_order_relaxed);
    unsigned marks = atomic_exchange_explicit(&item->marks, 0, memory_order_relaxed);
    if ((marks & GOVERNOR_MEASURED) != 0) {
        float *expected = (marks & GOVERNOR_UNITS) != 0 ? &item->both_ns : &item->whole_ns;
        *expected = learn(item, *expected, ns > 0 ? (float)ns : 1.0F);
        item->n_unpaid = 0;
        float whole = bare_cost(item);
        float mean = whole + (full_cost(item) - whole) / (float)unit_turns(g, item);
        item->eagerness = 1 / sqrtf(mean > 1 ? mean : 1);
    }
    return (double)ns;
}

/* ---- the account ---- */

static void settle(
    struct governor *g, uint64_t now_ns, uint64_t own_ns, double governed_ns, uint32_t turn)
{
    double elapsed = now_ns > g->seen_ns ? (double)(now_ns - g->seen_ns) : 0;
    double spent = own_ns > g->seen_own_ns ? (double)(own_ns - g->seen_own_ns) : 0;
    double income = g->share * elapsed;
    double others = spent > governed_ns ? spent - governed_ns : 0;
    uint32_t n_turns = g->planned_turn != 0 ? turn - g->planned_turn : 0;
    g->seen_ns = now_ns > g->seen_ns ? now_ns : g->seen_ns;
    g->seen_own_ns = own_ns > g->seen_own_ns ? own_ns : g->seen_own_ns;
    if (n_turns > 0) {
        double found = income / n_turns;
        g->income_ns += g->income_ns > 0 ? 0.1 * (found - g->income_ns) : found;
    }
    g->arrears_ns = fmin(g->arrears_ns + others, arrears_max_ns);
    double paid = fmin(g->arrears_ns, arrears_part * income);
    g->arrears_ns -= paid;
    income -= paid;
    paid = fmin(g->loan_ns, loan_part * income);
    g->loan_ns -= paid;
    income -= paid;
    double saved = fmin(g->credit_ns, fmax(saved_max_ns, g->dearest_ns));
    g->credit_ns = saved + income - governed_ns;
    if (g->credit_ns < 0) {
        g->loan_ns -= g->credit_ns;
        g->credit_ns = 0;
    }
}

/* ---- the plan of a turn ---- */

static unsigned bucket_of(const struct item *item, uint32_t turn)
{
    /* Exponent and three bits of the mantissa: an eighth of an octave. Costs of 1 ns to 10^13 ns
     * and ages of 1 to 2^32 turns lie within 2^-22 to 2^32. */
    enum { LOWEST = (127 - 26) * 8 };
    float urgency = (float)(turn - item->due_turn) * item->eagerness;
    uint32_t bits;
    memcpy(&bits, &urgency, sizeof bits);
    bits >>= 20;
    return bits <= LOWEST ? 0 : bits - LOWEST >= FORCED ? FORCED - 1U : bits - LOWEST;
}

static bool is_forced(const struct item *item, uint32_t turn)
{
    return is_unseen(item) ||
           is_within(turn, atomic_load_explicit(&item->attended, memory_order_relaxed));
}

/* What the governed things want together in this turn. */
struct wishes {
    double spent_ns;   /* for them, since the last plan */
    double pending_ns; /* due in the last turn, but not booked yet: it may come late */
    double all_ns;     /* of sums */
    double full_ns;    /* everything with its units */
};

/* Take in what was booked, and put everybody's cost into the bucket of its urgency. */
static void gather(struct governor *g, uint32_t turn, struct wishes *out)
{
    struct wishes wishes = {0};
    memset(g->sums, 0, sizeof g->sums);
    g->top = 0;
    for (uint32_t i = 0; i < g->n_governed; i++) {
        struct item *item = &g->items[g->governed[i]];
        wishes.spent_ns += fold(g, item);
        item->is_planned = turn - item->asked_turn <= REGULAR_TURNS;
        if (!item->is_planned) {
            continue;
        }
        item->has_units = wants_units(g, item);
        double cost = (double)cost_of(item, item->has_units);
        if (item->n_unpaid == 1 && item->due_turn == g->planned_turn) {
            wishes.pending_ns += cost;
        }
        item->bucket = is_forced(item, turn) ? FORCED : (uint16_t)bucket_of(item, turn);
        if (item->bucket != FORCED && item->bucket > g->top) {
            g->top = item->bucket;
        }
        g->sums[item->bucket] += cost;
        wishes.all_ns += cost;
        wishes.full_ns += (double)full_cost(item);
    }
    *out = wishes;
}

/* Set what is left for the bucket at the edge, and the edge: those above it are due. */
static void choose_edge(struct governor *g, double left_ns, double all_ns)
{
    int highest = FORCED;
    if (g->is_lending) {
        highest = FORCED - 1;
        left_ns = fmax(0, left_ns - g->sums[FORCED]);
        all_ns -= g->sums[FORCED];
    }
    g->left_ns = left_ns;
    g->dearest_ns = 0;
    g->edge = EVERYTHING;
    if (g->is_troubled || all_ns <= left_ns) {
        g->left_ns -= fmin(left_ns, all_ns);
        return;
    }
    if (all_ns <= COHERENT_TURNS * g->income_ns) {
        g->edge = NOTHING;
        g->dearest_ns = all_ns;
        return;
    }
    int edge = highest;
    while (edge > 0 && g->sums[edge] <= g->left_ns) {
        g->left_ns -= g->sums[edge];
        edge--;
    }
    g->edge = edge;
}

static void plan(struct governor *g, uint64_t now_ns, uint64_t own_ns, uint32_t turn)
{
    struct wishes wishes;
    gather(g, turn, &wishes);
    settle(g, now_ns, own_ns, wishes.spent_ns, turn);
    g->is_lending = g->loan_ns < loan_max_ns;
    g->is_troubled = g->is_lending && is_within(turn, atomic_load_explicit(&g->trouble,
                                                          memory_order_relaxed));
    g->has_units_for_all = wishes.full_ns <= g->income_ns;
    g->whole_ns = wishes.all_ns;
    g->n_due = 0;
    choose_edge(g, fmax(0, g->credit_ns - wishes.pending_ns), wishes.all_ns);
    g->planned_turn = turn;
}

/* ---- one thing ---- */

/* Take money that is promised to nobody. */
static bool takes(struct governor *g, double cost_ns, bool may_borrow)
{
    if (cost_ns > g->left_ns && !may_borrow) {
        return false;
    }
    g->left_ns = fmax(0, g->left_ns - cost_ns);
    return true;
}

/* Tell whether a thing is due, when it is asked for first in this turn. */
static bool decide(struct governor *g, struct item *item, uint32_t turn)
{
    if (g->is_troubled) {
        return true;
    }
    if (!item->is_planned) {
        item->has_units = wants_units(g, item);
        item->bucket = is_forced(item, turn) ? FORCED : (uint16_t)bucket_of(item, turn);
    }
    int bucket = item->bucket;
    if (bucket == FORCED && g->is_lending) {
        return true;
    }
    bool is_above = g->edge != NOTHING && bucket > g->edge;
    if (item->is_planned && is_above) {
        return true; /* its money was put aside */
    }
    double cost = (double)cost_of(item, item->has_units);
    if (!item->is_planned) {
        /* Who comes rarely must not find all money promised each time. */
        bool is_first = bucket >= (int)g->top;
        return (is_above || is_first) && takes(g, cost, is_first && g->loan_ns <= 0);
    }
    if (bucket != g->edge || g->dearest_ns > 0) {
        return false;
    }
    if (!takes(g, cost, cost <= 2 * g->left_ns && g->loan_ns <= 0)) {
        g->dearest_ns = cost; /* from here on is saved for it */
        return false;
    }
    return true;
}

static void grant(struct governor *g, struct item *item, uint32_t turn)
{
    bool has_units = item->has_units || g->is_troubled || item->bucket == FORCED;
    g->n_due++;
    item->due_turn = turn;
    item->n_bare = has_units ? 0 : (uint8_t)(item->n_bare + 1);
    item->n_unpaid = item->n_unpaid < UINT8_MAX ? (uint8_t)(item->n_unpaid + 1) : UINT8_MAX;
    atomic_store_explicit(&item->bare_turn, has_units ? 0 : turn, memory_order_relaxed);
}

static bool answer(struct governor *g, uint32_t id, uint32_t turn)
{
    if (id == 0 || id > g->max_id) {
        return false;
    }
    struct item *item = &g->items[id];
    if (item->asked_turn == turn) {
        return item->due_turn == turn;
    }
    if (item->asked_turn == 0) {
        g->governed[g->n_governed++] = id;
        (void)fold(g, item); /* what it cost before it was governed */
    }
    bool is_due = decide(g, item, turn);
    item->asked_turn = turn;
    if (is_due) {
        grant(g, item, turn);
    }
    return is_due;
}

int64_t governor_due(struct governor *g, uint64_t now_ns, uint64_t own_ns,
    const uint32_t *ids, size_t n, uint8_t *out_is_due)
{
    if (!baro_spin_lock(&g->lock)) {
        memset(out_is_due, 0, n);
        return BARO_EBUSY;
    }
    uint32_t turn = governor_turn(g);
    if (g->planned_turn != turn) {
        plan(g, now_ns, own_ns, turn);
    }
    int64_t n_due = 0;
    for (size_t i = 0; i < n; i++) {
        out_is_due[i] = answer(g, ids[i], turn);
        n_due += out_is_due[i];
    }
    baro_spin_unlock(&g->lock);
    return n_due;
}

void governor_read(struct governor *g, struct governor_state *out_state)
{
    *out_state = (struct governor_state){0};
    if (baro_spin_lock(&g->lock)) {
        *out_state = (struct governor_state){
            .credit_ns = g->credit_ns,
            .loan_ns = g->loan_ns,
            .arrears_ns = g->arrears_ns,
            .income_ns = g->income_ns,
            .whole_ns = g->whole_ns,
            .n_governed = g->n_governed,
            .n_due = g->n_due,
            .turn = g->planned_turn,
        };
        baro_spin_unlock(&g->lock);
    }
}
