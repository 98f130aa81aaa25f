/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"
#include "lib/analysis/unit_stats.h"

/*
 * Do outputs no longer depend on inputs, or has one player of a game won?
 *
 *   collapse  of an activation with n values a unit, mean m and norm l of each unit:
 *
 *               D = 1 - sum m^2 / sum (l^2 / n)
 *
 *             is the share of its energy that differs between samples: 0 when all samples give the
 *             same. A generator whose modes collapse, a representation that does (twins without
 *             negatives), a posterior that does: D falls to nothing. Told when D was above 0.05
 *             (half-life: 100 readings, after 100), and is below 0.02 and a tenth of that in 4
 *             readings in a row; the energy that differs must itself have fallen to a tenth: an
 *             output that learns a large mean does not collapse. Or that energy has fallen to a
 *             hundredth, whatever the rest does: samples differ by a tenth of what they did;
 *             or all energy has (the code of a VAE that gives in to its prior).
 *             Zeros are the dead rule's.
 *   won       of two losses, one of a discriminator ("loss_d", "D_loss", "critic", "disc") and one
 *             of a generator ("loss_g", "gen"): the first is never
 *             negative, and its mean over the last 10 or so is below a 20th of that of its first
 *             8, and below 0.05, while the generator's is more than twice what it was, for 20 readings: nothing
 *             fools the discriminator any more, and the generator learns no more. Or, where smoothed
 *             labels give it a floor, the first lies still at less than half of its beginning
 *             (it varies by less than 3 % of that), and the second is 2.5 times what it was.
 *
 * D does not say how different samples are, only whether they differ: what follows a collapse of
 * the batch's average (a classifier that is unsure of everything) has a D of its own, its past.
 *
 * Worked number: two units, 4 samples. (1, 1, -1, -1) and (2, 2, 2, 2): sums m^2 = 0 + 4, l^2 / n =
 * 1 + 4; D = 1 - 4/5 = 0.2. When the first becomes 1 for all samples, D = 1 - 5/5 = 0.
 *
 * Cost: two multiplications a unit. Rounding of units to 12 bits behind the point makes D uncertain
 * by 0.0005 at most. Known limits: a collapse to a few modes is none by D; a mean over all units is
 * blind to one unit.
 */

enum { MAX_SHARE, MIN_FALL, WON_FALL, WON_RISE };
enum { CODE_ALIKE, CODE_EVEN, CODE_FADED, CODE_WON, CODE_LOSS };
enum {
    WARM_UP = 100,
    LOSS_WARM_UP = 8,
    IN_A_ROW = 4,
    CALM = 32,
    WON_READINGS = 20,
    MIN_UNITS = 4,
    MIN_EACH = 4
};

static const double min_usual = 0.05;
static const double weight_of_new = 0.00691; /* half-life of 100 */
static const double loss_weight = 0.1;
static const double most_won = 0.05;
static const double still = 0.03;

static const struct rule_param params[] = {
    {"max_share", 0.02, 0, 1,
        "of the energy that differs between samples: collapsed below"},
    {"min_fall", 10, 1, 1e9, "by which that share must have fallen"},
    {"won_fall", 20, 1, 1e9, "by which a discriminator's loss must have fallen"},
    {"won_rise", 2, 1, 1e9, "by which the generator's must have risen"},
};

/* Of the UNITS of an activation; of a loss. */
struct spread {
    uint32_t n_readings;
    double usual;
    double size; /* usual energy that differs, of a unit: the mean of its logarithm */
    double
        total; /* usual energy of a unit, likewise: a few readings of 1e9 are not usual */
    int64_t since;
    struct rule_latch latch;
};

struct loss {
    uint32_t n_readings;
    double first; /* mean of the first readings */
    double now;   /* exponential mean */
    double swing; /* exponential mean of |value - now| */
    bool is_negative;
};

struct game {
    struct loss players[2]; /* discriminator, generator */
    uint32_t things[2];
    int64_t since;
    struct rule_latch latch;
};

/* Whether a word stands in a name by itself: "loss_d", "D/loss", but not "decoder_loss". */
static bool has_word(const char *name, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = name; *at != '\0'; at++) {
        bool begins = at == name || !((at[-1] | 0x20) >= 'a' && (at[-1] | 0x20) <= 'z');
        size_t i = 0;
        while (i < n && (at[i] | 0x20) == word[i]) {
            i++;
        }
        if (begins && i == n && !((at[n] | 0x20) >= 'a' && (at[n] | 0x20) <= 'z')) {
            return true;
        }
    }
    return false;
}

/* Which player a loss is of: 0 discriminator, 1 generator, -1 neither. */
static int player_of(const char *name)
{
    static const char *const words[2][7] = {
        {"d", "disc", "discriminator", "critic", "errd", "lossd", "dloss"},
        {"g", "gen", "generator", "actor", "errg", "lossg", "gloss"}};
    bool is_of[2] = {false, false};
    for (int player = 0; player < 2; player++) {
        for (int i = 0; i < 7; i++) {
            is_of[player] |= has_word(name, words[player][i]);
        }
    }
    return is_of[0] == is_of[1] ? -1 : is_of[1] ? 1 : 0;
}

static bool applies(const struct judge_thing *thing)
{
    if (thing->is_eval || thing->is_no_grad) {
        return false;
    }
    if (!thing->is_tensor) {
        bool is_loss = thing->meaning == JUDGE_LOSS ||
                       strcasestr(thing->name, "loss") != NULL ||
                       strncasecmp(thing->name, "err", 3) == 0;
        return thing->id != 0 && is_loss && player_of(thing->name) >= 0;
    }
    return thing->role == BARO_ACT && thing->n_units >= MIN_UNITS;
}

/* The share of energy that differs between samples, and the energy a unit; NaN: no energy. */
static double find_share(const struct reading *reading, uint32_t n_units, double *out_size)
{
    const float *means = unit_column(reading, n_units, UNIT_MEAN);
    const float *norms = unit_column(reading, n_units, UNIT_L2);
    double common = 0;
    double all = 0;
    for (uint32_t u = 0; u < n_units; u++) {
        double mean = (double)unit_rounded(means[u]);
        double norm = (double)unit_rounded(norms[u]);
        common += mean * mean;
        all += norm * norm;
    }
    *out_size = all / n_units;
    return all > 0 && isfinite(all) ? common / all : (double)NAN;
}

/* Elements of each unit: by the declared shape, whose batch may have been another. */
static double count_each(const struct judge_thing *thing)
{
    double n = 1;
    for (uint32_t d = 0; d < thing->n_dims && d < BARO_MAX_DIMS; d++) {
        n *= (double)thing->shape[d];
    }
    return n / thing->n_units;
}

/* Move the mean of a logarithm: a reading far off counts as ten times, or a tenth, of usual. */
static void learn_energy(double *mean, uint32_t n_readings, double weight, double energy)
{
    double more = log(energy > DBL_MIN ? energy : DBL_MIN) - *mean;
    double most = log(10);
    if (n_readings > 0) {
        more = more > most ? most : more < -most ? -most : more;
    }
    *mean += weight * more;
}

static void on_units(
    struct rule_context *context, struct spread *spread, const struct reading *reading)
{
    const struct judge_thing *thing = context->thing;
    double n_each = count_each(thing);
    if (!unit_fits(reading, thing->n_units) || n_each < MIN_EACH) {
        return;
    }
    double size = 0;
    double share = find_share(reading, thing->n_units, &size);
    if (!isfinite(share)) {
        return;
    }
    double differs = 1 - share * n_each;
    differs = differs > 0 ? differs : 0;
    const double *p = context->params;
    double energy = differs * size;
    double much = p[MIN_FALL] * p[MIN_FALL];
    bool is_usual = spread->n_readings >= WARM_UP;
    bool has_spread = is_usual && spread->usual > min_usual;
    double usual_size = exp(spread->size);
    double usual_total = exp(spread->total);
    bool is_alike = has_spread && differs < p[MAX_SHARE] &&
                    differs * p[MIN_FALL] < spread->usual &&
                    energy * p[MIN_FALL] < usual_size;
    bool is_even = has_spread && energy * much < usual_size;
    bool is_small = is_usual && size * much < usual_total;
    bool is_bad = is_alike || is_even || is_small;
    if (is_bad && spread->latch.n_bad == 0) {
        spread->since = context->step;
    }
    if (rule_latch(&spread->latch, is_bad, IN_A_ROW, CALM)) {
        unsigned code = is_small ? CODE_FADED : is_alike ? CODE_ALIKE : CODE_EVEN;
        const double now[] = {differs, sqrt(energy), sqrt(size)};
        const double usual[] = {spread->usual, sqrt(usual_size), sqrt(usual_total)};
        rule_note_since(context, code, spread->since, now[code], usual[code], 0);
    }
    double weight =
        spread->n_readings < WARM_UP ? 1.0 / (spread->n_readings + 1) : weight_of_new;
    spread->usual += weight * (differs - spread->usual);
    learn_energy(&spread->size, spread->n_readings, weight, energy);
    learn_energy(&spread->total, spread->n_readings, weight, size);
    spread->n_readings++;
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    if (reading->header.kind == READING_UNITS) {
        on_units(context, state, reading);
    } else if (isfinite(reading->f64[0])) {
        rule_note_value(context, CODE_LOSS, reading->f64[0], 0, 0);
    }
}

static void learn(struct loss *loss, double value)
{
    loss->is_negative |= value < 0;
    double weight =
        loss->n_readings < LOSS_WARM_UP ? 1.0 / (loss->n_readings + 1) : loss_weight;
    loss->swing += weight * (fabs(value - loss->now) - loss->swing);
    loss->now += weight * (value - loss->now);
    if (loss->n_readings < LOSS_WARM_UP) {
        loss->first = loss->now;
    }
    loss->n_readings++;
}

static void judge_game(
    struct rule_context *context, struct game *game, const struct rule_fact *fact)
{
    const struct loss *judge = &game->players[0];
    const struct loss *maker = &game->players[1];
    const double *p = context->params;
    bool is_game = judge->n_readings > LOSS_WARM_UP && maker->n_readings > LOSS_WARM_UP &&
                   !judge->is_negative && maker->first > 0;
    bool is_gone = judge->now * p[WON_FALL] < judge->first && judge->now < most_won &&
                   maker->now > p[WON_RISE] * maker->first;
    bool is_still = judge->now < 0.5 * judge->first &&
                    judge->swing < still * judge->first &&
                    maker->now > 1.25 * p[WON_RISE] * maker->first;
    bool is_won = is_game && (is_gone || is_still);
    if (is_won && game->latch.n_bad == 0) {
        game->since = fact->step;
    }
    if (rule_latch(&game->latch, is_won, WON_READINGS, CALM)) {
        struct rule_fact told = *fact;
        told.code = CODE_WON;
        told.from_step = rule_from(game->since);
        told.value = judge->now;
        told.usual = judge->first;
        told.score = maker->now;
        rule_report(context, &told);
    }
}

/* Of activations that collapse in one step the first in data flow: it feeds the others. */
static void report_first(
    struct rule_context *context, const struct rule_fact *facts, size_t n_facts)
{
    const struct rule_fact *first = NULL;
    unsigned n_others = 0;
    for (size_t i = 0; i < n_facts; i++) {
        bool is_collapse = facts[i].code != CODE_LOSS;
        n_others += is_collapse && first != NULL ? 1 : 0;
        first = is_collapse && first == NULL ? &facts[i] : first;
    }
    if (first != NULL) {
        struct rule_fact told = *first;
        told.score = n_others;
        rule_report(context, &told);
    }
}

static void on_step(struct rule_context *context, void *run_state,
    const struct rule_fact *facts, size_t n_facts)
{
    struct game *game = run_state;
    report_first(context, facts, n_facts);
    for (size_t i = 0; i < n_facts; i++) {
        const struct rule_fact *fact = &facts[i];
        if (fact->code != CODE_LOSS) {
            continue;
        }
        int player = player_of(rule_thing(context, fact->thing)->name);
        if (player < 0) {
            continue;
        }
        if (game->things[player] == 0) {
            game->things[player] = fact->thing;
        }
        if (game->things[player] == fact->thing) {
            learn(&game->players[player], fact->value);
        }
        if (player == 0 && game->things[0] == fact->thing) {
            judge_game(context, game, fact);
        }
    }
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    const char *name = context->thing->name;
    finding->step = rule_since(fact);
    if (fact->code == CODE_WON) {
        rule_say(finding,
            "The discriminator has won: %s went from %.3g to %.2g, and the generator's loss is "
            "up to %.3g; it learns no more.",
            name, fact->usual, fact->value, fact->score);
        finding->advice =
            "Train the discriminator less (fewer steps, a smaller learning rate), "
            "smooth its labels, or add noise to what it sees.";
        rule_blame(finding, JUDGE_CAUSE_ADVERSARY);
        rule_show(
            finding, fact->thing, READING_SCALAR, 0, -1, 0, "the discriminator's loss");
        return;
    }
    if (fact->code == CODE_ALIKE) {
        rule_say(finding,
            "All samples give nearly the same output of %s since step %lld: %.2g%% of it "
            "differs between them, %.2g%% was usual.",
            name, (long long)finding->step, 100 * fact->value, 100 * fact->usual);
    } else {
        rule_say(finding,
            "The output of %s %s since step %lld: %.0f times less than usual.", name,
            fact->code == CODE_EVEN ? "hardly differs between samples" : "has faded away",
            (long long)finding->step, fact->usual / fmax(fact->value, 1e-300));
    }
    if (fact->score > 0) {
        rule_say_more(finding, " So it is with %.0f behind it.", fact->score);
    }
    finding->advice =
        "If this is a generator, its modes collapse: give the discriminator batches "
        "to compare, or lower its rate; if an encoder, its loss has a trivial answer.";
    rule_blame(finding, JUDGE_CAUSE_ADVERSARY);
    rule_blame(finding, JUDGE_CAUSE_LOSS_FUNCTION);
    rule_blame(finding, JUDGE_CAUSE_BAD_INPUT);
    rule_show(finding, fact->thing, READING_SUMMARY, SUMMARY_VAR, -1, finding->step - 64,
        "its variance");
}

const struct rule rule_collapse = {
    .name = "collapse",
    .sentence = "Outputs no longer depend on inputs, or a discriminator has won its game.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_WATCH,
    .kinds = RULE_KIND(READING_UNITS) | RULE_KIND(READING_SCALAR),
    .excuses = 0,
    .state_bytes = sizeof(struct spread),
    .run_bytes = sizeof(struct game),
    .applies = applies,
    .on_reading = on_reading,
    .on_step = on_step,
    .tell = tell,
};
