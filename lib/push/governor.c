/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/push/governor.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/baro_types.h"
#include "lib/base/spin.h"
#include "lib/push/cost.h"

/*
 * The question: n tensors, each with a cost c_i that is only known from measuring it, and an
 * income of `share` of the time that passes. Which of them are measured in this turn?
 *
 * The account. Income first pays arrears (what was spent without asking: at most 7/8 of it, so
 * that those who ask always get something), then half of the rest pays back the loan, and what
 * remains is credit. What was granted is paid from credit; what credit does not cover becomes
 * loan. So in the long run no more is spent than came in:
 *
 *     spent <= share * (time + GIFT_TIME + START_TIME) + LOAN_MAX + what one turn can cost
 *
 * unless those who do not ask spend more than 7/8 of the income by themselves. They are told when
 * arrears exceed SLACK_TIME's worth, so that they leave out what can be left out. Every expense is
 * booked as it was, never as it was expected: wrong expectations cost cadence, not budget.
 * Credit is saved up to SAVED_MAX, or to the cost of what is being saved for. A turn of more than
 * PAUSE_TURNS usual ones is a pause (an evaluation, a checkpoint). What those who do not ask spend
 * in it, it pays; it brings nothing else, nor forgives arrears: steps are not to be slower for what
 * came between them.
 *
 * The first steps of a training are looked at most closely. So the governor begins with a gift,
 * which is paid out at a rate that falls like 1 / time, and given back by an eighth of the
 * income: readings grow rarer little by little, and none is followed by a long hole. Those who do
 * not ask have a gift, too: what they spend at first (models are taken in, a first probe, the
 * first steps are guarded) and income does not pay is forgiven, up to START_TIME's worth. For the same reason a turn spends at most a SPREAD-th of what has been saved up, or else what the most
 * urgent cost: savings of a pause last for some time.
 *
 * The choice. With I_i turns between two measurements of tensor i, the sum of all c_i / I_i is
 * the income S of a turn; the mean square of the intervals is least for I_i proportional to
 * cbrt(c_i) (Lagrange): long holes in dear series hurt more than many readings of cheap ones
 * help. So a tensor's urgency is
 *
 *     u_i = (turns since it was last due) / cbrt(c_i)
 *
 * and the most urgent come first, as far as credit goes. The first that credit does not cover
 * stops the row: from now on is saved for it, while cheaper ones still pass whenever they have
 * become more urgent than it. So nothing starves, however dear: I_i is about
 * cbrt(c_i) * (sum of cbrt(c)^2) / S. Worked: costs of 1, 1 and 8 ms, S = 0.1 ms; the sum is 6,
 * so the intervals are 60, 60 and 120 turns, and 1/60 + 1/60 + 8/120 = 0.1.
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
 * What was never measured is due at once, on loan if need be. So is what is under attention, and
 * in trouble everything; but once the loan is LOAN_MAX these only come first in the row.
 *
 * Who is due but is not measured (a layer that was not called) has had its turn. Its reserved
 * money is not spent, and after two such turns it is expected to cost ever less.
 *
 * The question itself must cost little of the income. So between two plans that spread the
 * credit nothing more is due until enough has come in: what is saved for, or a batch that is
 * worth PLAN_NS for each thing, PLAN_PART times over. Such a turn is quiet: it costs a look at a
 * bit for each id, to find what was never measured.
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
    SPREAD = 16,
    PAUSE_TURNS = 8,
    REGULAR_PLANS = 2, /* who asked within so many plans is planned for */
    PENDING_TURNS = 2, /* so late a booking may come */
    QUIET_TURNS = 64,  /* at most, one after the other */
    PLAN_NS = 25,      /* about what planning takes for each thing */
    PLAN_PART = 16     /* it may take this part of the income */
};
#define S_NS 1e9
static const double gift_time_ns = 10 * S_NS;   /* as much as so long brings, */
static const double gift_unit_ns = 0.25 * S_NS; /* at a rate that falls from here on, */
static const double gift_span = 1200;           /* for so many times as long */
static const double gift_part = 1.0 / 8;
static const double start_time_ns = 40 * S_NS; /* as much those who do not ask begin with */
static const double slack_time_ns = 1 * S_NS;
static const double saved_max_ns = 0.25 * S_NS;
static const double loan_max_ns = 2 * S_NS;
static const double arrears_max_ns = 5 * S_NS;
static const double arrears_part = 7.0 / 8;
static const double loan_part = 1.0 / 2;

struct item {
    _Atomic uint64_t booked;    /* since the last plan: nanoseconds << 2 | marks */
    _Atomic uint32_t attended;  /* up to this turn; 0: never was */
    _Atomic uint32_t bare_turn; /* in this turn it is measured without its units */
    _Atomic bool is_governed;   /* somebody has asked for it */
    /* Guarded by the lock. */
    bool is_planned;     /* in the sums of the last plan */
    bool has_units;      /* if it is due in this turn */
    uint8_t n_bare;      /* times due since its units were */
    uint8_t n_unpaid;    /* times due since a measurement was booked */
    uint16_t bucket;     /* as of the last plan */
    uint32_t asked_turn; /* 0: never */
    uint32_t asked_plan; /* number of the plan then */
    uint32_t due_turn;   /* last; 0: never */
    struct cost cost;
};

struct governor {
    double share;
    uint32_t max_id;
    _Atomic uint32_t turn;
    _Atomic uint32_t trouble;   /* up to this turn */
    _Atomic uint32_t attended;  /* anything, up to this turn */
    _Atomic uint64_t booked_ns; /* for all that is governed */
    _Atomic bool has_spare;     /* arrears are small */

    _Atomic uint32_t lock; /* guards what follows */
    /* The account. */
    uint32_t seen_turn; /* 0: none yet */
    uint64_t seen_ns;   /* until when income is counted */
    uint64_t seen_own_ns;
    uint64_t seen_booked_ns;
    double trained_ns; /* without pauses */
    double gift_ns;    /* paid out so far */
    double given_ns;   /* of that is to be given back */
    double credit_ns;
    double loan_ns;
    double arrears_ns;
    double start_ns;  /* left of the gift to those who do not ask */
    double income_ns; /* of a turn, on average; 0: not known */
    uint32_t n_turns; /* since the last one that somebody asked in */
    /* The plan. */
    uint32_t n_plans;
    uint32_t planned_turn;
    double whole_ns;   /* what all cost together */
    double dearest_ns; /* what is saved for; 0: nothing */
    double left_ns;    /* of credit, put aside for nobody in this turn */
    double wake_ns;    /* with so much credit the next plan is worth its while */
    int edge;        /* things of buckets above are due; those in it as far as money goes */
    unsigned top;    /* most urgent bucket, the forced left out */
    bool is_quiet;   /* this turn has no plan */
    bool is_lending; /* the forced are due whatever it costs */
    bool is_troubled;       /* everything is */
    bool has_units_for_all; /* every turn can pay for everything */
    uint32_t n_due;
    double sums[N_BUCKETS];
    uint32_t n_governed;
    uint32_t *governed; /* ids in the order in which they were first asked for */
    uint64_t *known;    /* a bit for each id whose cost is known */
    struct item items[];
};

static size_t n_words(uint32_t max_id)
{
    return (size_t)max_id / 64 + 1;
}

struct governor *governor_create(uint32_t max_id, double share, uint64_t now_ns)
{
    size_t n = (size_t)max_id + 1; /* pages that are never touched cost nothing */
    struct governor *g = calloc(1, sizeof *g + n * sizeof g->items[0]);
    if (g == NULL) {
        return NULL;
    }
    g->governed = calloc(n, sizeof *g->governed);
    g->known = calloc(n_words(max_id), sizeof *g->known);
    if (g->governed == NULL || g->known == NULL) {
        governor_destroy(g);
        return NULL;
    }
    g->max_id = max_id;
    g->share = share;
    g->seen_ns = now_ns;
    g->start_ns = share * start_time_ns;
    atomic_store(&g->turn, 1);
    atomic_store(&g->has_spare, true);
    return g;
}

void governor_destroy(struct governor *g)
{
    if (g != NULL) {
        free(g->governed);
        free(g->known);
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
    uint64_t before =
        atomic_fetch_add_explicit(&item->booked, ns << 2, memory_order_relaxed);
    if ((before & marks) != marks) {
        atomic_fetch_or_explicit(&item->booked, marks, memory_order_relaxed);
    }
    if (atomic_load_explicit(&item->is_governed, memory_order_relaxed)) {
        atomic_fetch_add_explicit(&g->booked_ns, ns, memory_order_relaxed);
    }
}

/* The last of the next so many turns; never 0, which means never. */
static uint32_t last_of(const struct governor *g, uint32_t n_turns)
{
    uint32_t last = governor_turn(g) + n_turns;
    return last != 0 ? last : 1;
}

/* Tell whether a turn is not after the last one of some; both may have wrapped. */
static bool is_within(uint32_t turn, const _Atomic uint32_t *last)
{
    uint32_t found = atomic_load_explicit(last, memory_order_relaxed);
    return found != 0 && (int32_t)(found - turn) >= 0;
}

/* Move the last of some turns on to another, never back. */
static void extend(_Atomic uint32_t *last, uint32_t to)
{
    if (!is_within(to, last)) {
        atomic_store_explicit(last, to, memory_order_relaxed);
    }
}

void governor_trouble(struct governor *g, uint32_t n_turns)
{
    if (n_turns == 0) {
        atomic_store_explicit(&g->trouble, 0, memory_order_relaxed);
    } else {
        extend(&g->trouble, last_of(g, n_turns));
    }
}

void governor_attend(struct governor *g, uint32_t id, uint32_t n_turns)
{
    if (id != 0 && id <= g->max_id && n_turns > 0) {
        extend(&g->items[id].attended, last_of(g, n_turns));
        extend(&g->attended, last_of(g, n_turns));
    }
}

bool governor_wants_units(const struct governor *g, uint32_t id)
{
    return id == 0 || id > g->max_id ||
           atomic_load_explicit(&g->items[id].bare_turn, memory_order_relaxed) !=
               governor_turn(g);
}

/* ---- expectations ---- */

static bool wants_units(const struct governor *g, const struct item *item)
{
    return g->has_units_for_all || item->n_bare + 1U >= item->cost.turns;
}

/* What a measurement is expected to cost; ever less when it does not come. */
static float price_of(const struct item *item, bool has_units)
{
    float price = has_units ? cost_full(&item->cost) : cost_bare(&item->cost);
    return item->n_unpaid <= 1 ? price : ldexpf(price, 1 - (int)item->n_unpaid);
}

/* Take in what was booked since the last plan. */
static void fold(struct governor *g, uint32_t id)
{
    struct item *item = &g->items[id];
    if (atomic_load_explicit(&item->booked, memory_order_relaxed) == 0) {
        return;
    }
    uint64_t booked = atomic_exchange_explicit(&item->booked, 0, memory_order_relaxed);
    if ((booked & GOVERNOR_MEASURED) != 0) {
        cost_learn(&item->cost, booked >> 2, (booked & GOVERNOR_UNITS) != 0);
        item->n_unpaid = 0;
        g->known[id / 64] |= UINT64_C(1) << (id % 64);
    }
}

/* ---- the account ---- */

/* Pay out what has become due of the gift, so many nanoseconds of training later. */
static void give(struct governor *g, double elapsed_ns)
{
    g->trained_ns += elapsed_ns;
    double due = g->share * gift_time_ns *
                 fmin(1, log1p(g->trained_ns / gift_unit_ns) / log1p(gift_span));
    if (due > g->gift_ns) {
        g->credit_ns += due - g->gift_ns;
        g->given_ns += due - g->gift_ns;
        g->gift_ns = due;
    }
}

static void settle(struct governor *g, uint64_t now_ns, uint64_t own_ns, uint32_t turn)
{
    uint64_t booked_ns = atomic_load_explicit(&g->booked_ns, memory_order_relaxed);
    double governed = (double)(booked_ns - g->seen_booked_ns);
    double elapsed = now_ns > g->seen_ns ? (double)(now_ns - g->seen_ns) : 0;
    double spent = own_ns > g->seen_own_ns ? (double)(own_ns - g->seen_own_ns) : 0;
    double others = spent > governed ? spent - governed : 0;
    double income = g->share * elapsed;
    double usual = 0; /* what came before the first turn is a pause, too */
    uint32_t n_turns = g->seen_turn != 0 ? turn - g->seen_turn : 0;
    g->n_turns = n_turns;
    if (n_turns > 0) {
        usual = g->income_ns > 0 ? PAUSE_TURNS * g->income_ns * n_turns : income;
        double found = fmin(income, usual) / n_turns;
        give(g, fmin(income, usual) / g->share);
        g->income_ns += g->income_ns > 0 ? 0.1 * (found - g->income_ns) : found;
    }
    g->seen_turn = turn;
    g->seen_ns = now_ns > g->seen_ns ? now_ns : g->seen_ns;
    g->seen_own_ns = own_ns > g->seen_own_ns ? own_ns : g->seen_own_ns;
    g->seen_booked_ns = booked_ns;
    double paused = fmax(0, income - usual);
    income -= paused;
    others -= fmin(others, paused);
    g->arrears_ns = fmin(g->arrears_ns + others, arrears_max_ns);
    double paid = fmin(g->arrears_ns, arrears_part * income);
    g->arrears_ns -= paid;
    income -= paid;
    double forgiven = fmin(g->arrears_ns, g->start_ns);
    g->arrears_ns -= forgiven;
    g->start_ns -= forgiven;
    atomic_store_explicit(
        &g->has_spare, g->arrears_ns <= g->share * slack_time_ns, memory_order_relaxed);
    paid = fmin(g->loan_ns, loan_part * income);
    g->loan_ns -= paid;
    income -= paid;
    paid = fmin(g->given_ns, gift_part * income);
    g->given_ns -= paid;
    income -= paid;
    double saved = fmin(g->credit_ns, fmax(saved_max_ns, g->dearest_ns));
    g->credit_ns = saved + income - governed;
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
    float urgency = (float)(turn - item->due_turn) * item->cost.eagerness;
    uint32_t bits;
    memcpy(&bits, &urgency, sizeof bits);
    bits >>= 20;
    return bits <= LOWEST ? 0 : bits - LOWEST >= FORCED ? FORCED - 1U : bits - LOWEST;
}

/* Find out how urgent a thing is in this turn, and whether its units are wanted. */
static void weigh(const struct governor *g, struct item *item, uint32_t turn)
{
    bool is_forced = cost_is_unknown(&item->cost) || is_within(turn, &item->attended);
    item->has_units = is_forced || wants_units(g, item);
    item->bucket = is_forced ? FORCED : (uint16_t)bucket_of(item, turn);
}

/* What the governed things want together in this turn. */
struct wishes {
    double pending_ns; /* due lately, but not booked yet: it may come late */
    double all_ns;     /* of sums */
    double full_ns;    /* everything with its units */
};

/* Take in what was booked, and put everybody's price into the bucket of its urgency. */
static void gather(struct governor *g, uint32_t turn, struct wishes *out)
{
    struct wishes wishes = {0};
    memset(g->sums, 0, sizeof g->sums);
    g->top = 0;
    for (uint32_t i = 0; i < g->n_governed; i++) {
        struct item *item = &g->items[g->governed[i]];
        fold(g, g->governed[i]);
        item->is_planned = g->n_plans - item->asked_plan < REGULAR_PLANS;
        if (!item->is_planned) {
            continue;
        }
        weigh(g, item, turn);
        double price = (double)price_of(item, item->has_units);
        if (item->n_unpaid == 1 && turn - item->due_turn <= PENDING_TURNS) {
            wishes.pending_ns += price;
        }
        if (item->bucket != FORCED && item->bucket > g->top) {
            g->top = item->bucket;
        }
        g->sums[item->bucket] += price;
        wishes.all_ns += price;
        wishes.full_ns += (double)cost_full(&item->cost);
    }
    *out = wishes;
}

/* What a turn may spend of what is there: a part of it, or what the most urgent cost. */
static double spread(const struct governor *g, double left_ns, int highest)
{
    int most = highest;
    while (most > 0 && g->sums[most] <= 0) {
        most--;
    }
    double least = fmax(g->sums[most], (double)g->n_governed * PLAN_NS * PLAN_PART);
    double come_ns = 2 * g->income_ns * g->n_turns;
    return fmin(left_ns, fmax(left_ns / SPREAD, fmax(least, come_ns)));
}

/* Set the edge, and what is left for the bucket at it: things of buckets above are due. */
static void choose_edge(struct governor *g, double left_ns, double all_ns)
{
    int highest = FORCED;
    if (g->is_lending) {
        highest = FORCED - 1;
        left_ns = fmax(0, left_ns - g->sums[FORCED]);
        all_ns -= g->sums[FORCED];
    }
    bool is_coherent = all_ns <= COHERENT_TURNS * g->income_ns;
    double spread_ns = is_coherent ? left_ns : spread(g, left_ns, highest);
    g->left_ns = spread_ns;
    g->dearest_ns = 0;
    g->edge = EVERYTHING;
    if (g->is_troubled || all_ns <= spread_ns) {
        g->left_ns -= fmin(spread_ns, all_ns);
        return;
    }
    if (is_coherent) {
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

static void plan(struct governor *g, uint32_t turn)
{
    struct wishes wishes;
    gather(g, turn, &wishes);
    g->has_units_for_all = wishes.full_ns <= g->income_ns;
    g->whole_ns = wishes.all_ns;
    choose_edge(g, fmax(0, g->credit_ns - wishes.pending_ns), wishes.all_ns);
    g->n_plans++;
    g->planned_turn = turn;
}

/* How much credit makes the next plan worth its while; the last one is carried out. */
static double wake_price(const struct governor *g)
{
    if (g->edge == EVERYTHING || g->is_troubled) {
        return 0;
    }
    if (g->edge == NOTHING) {
        return g->dearest_ns;
    }
    return g->left_ns + (double)g->n_governed * PLAN_NS * PLAN_PART;
}

/* Begin a turn with its first question. */
static void open_turn(struct governor *g, uint64_t now_ns, uint64_t own_ns, uint32_t turn)
{
    if (!g->is_quiet) {
        g->wake_ns = wake_price(g);
    }
    settle(g, now_ns, own_ns, turn);
    g->is_lending = g->loan_ns < loan_max_ns;
    g->is_troubled = g->is_lending && is_within(turn, &g->trouble);
    g->is_quiet = g->n_plans > 0 && g->credit_ns < g->wake_ns && !g->is_troubled &&
                  !is_within(turn, &g->attended) && turn - g->planned_turn < QUIET_TURNS;
    g->n_due = 0;
    if (g->is_quiet) {
        g->left_ns = 0;
    } else {
        plan(g, turn);
    }
}

/* ---- one thing ---- */

/* Take money that is promised to nobody. */
static bool takes(struct governor *g, double price_ns, bool may_borrow)
{
    if (price_ns > g->left_ns && !may_borrow) {
        return false;
    }
    g->left_ns = fmax(0, g->left_ns - price_ns);
    return true;
}

/* Tell whether a thing is due, when it is asked for first in this turn. */
static bool decide(struct governor *g, struct item *item, uint32_t turn)
{
    if (g->is_troubled) {
        return true;
    }
    if (!item->is_planned) {
        weigh(g, item, turn);
    }
    int bucket = item->bucket;
    if (bucket == FORCED && (g->is_lending || cost_is_unknown(&item->cost))) {
        return true;
    }
    bool is_above = g->edge != NOTHING && bucket > g->edge;
    if (item->is_planned && is_above) {
        return true; /* its money was put aside */
    }
    double price = (double)price_of(item, item->has_units);
    if (!item->is_planned) {
        /* Who comes rarely must not find all money promised each time. */
        bool is_first = bucket >= (int)g->top;
        return (is_above || is_first) && takes(g, price, is_first && g->loan_ns <= 0);
    }
    if (bucket != g->edge || g->dearest_ns > 0) {
        return false;
    }
    if (!takes(g, price, price <= 2 * g->left_ns && g->loan_ns <= 0)) {
        g->dearest_ns = price; /* from here on is saved for it */
        return false;
    }
    return true;
}

static void grant(struct governor *g, struct item *item, uint32_t turn)
{
    bool has_units = item->has_units || g->is_troubled;
    g->n_due++;
    item->due_turn = turn;
    item->n_bare = has_units ? 0 : (uint8_t)(item->n_bare + 1);
    item->n_unpaid = item->n_unpaid < UINT8_MAX ? (uint8_t)(item->n_unpaid + 1) : UINT8_MAX;
    atomic_store_explicit(&item->bare_turn, has_units ? 0 : turn, memory_order_relaxed);
}

static bool answer(struct governor *g, uint32_t id, uint32_t turn)
{
    struct item *item = &g->items[id];
    if (item->asked_turn == turn) {
        return item->due_turn == turn;
    }
    if (item->asked_turn == 0) {
        g->governed[g->n_governed++] = id;
        atomic_store_explicit(&item->is_governed, true, memory_order_relaxed);
        fold(g, id); /* what it cost before it was governed */
    }
    bool is_due = decide(g, item, turn);
    item->asked_turn = turn;
    item->asked_plan = g->n_plans;
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
    if (g->seen_turn != turn) {
        open_turn(g, now_ns, own_ns, turn);
    }
    int64_t n_due = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t id = ids[i];
        bool can_be = id != 0 && id <= g->max_id;
        bool is_known = can_be && (g->known[id / 64] >> (id % 64) & 1) != 0;
        out_is_due[i] = can_be && !(g->is_quiet && is_known) && answer(g, id, turn);
        n_due += out_is_due[i];
    }
    baro_spin_unlock(&g->lock);
    return n_due;
}

bool governor_has_spare(const struct governor *g)
{
    return atomic_load_explicit(&g->has_spare, memory_order_relaxed);
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
            .turn = g->seen_turn,
        };
        baro_spin_unlock(&g->lock);
    }
}
