/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the judge share, and nobody else looks at. */
#ifndef BARO_JUDGE_INSIDE_H
#define BARO_JUDGE_INSIDE_H

#include "lib/analysis/judge.h"
#include "lib/analysis/rule.h"
#include "lib/analysis/rule_book.h"

enum {
    JUDGE_N_BATCHES = 4, /* of the steps that are open, and one more */
    JUDGE_CONTEXT = 0    /* rule number of facts for the judge itself; others: place + 1 */
};

/* Facts that the judge notes for itself: an enum judge_change, or this one. */
enum { JUDGE_FACT_LR = 1 << JUDGE_N_CHANGES };

/* One rule at work on one kind of readings of one thing. */
struct duty {
    const struct rule *rule;
    const struct rule_custom *custom;
    const double *params;
    void *state;
    int64_t told_step; /* of its last finding; valid if n_told > 0 */
    uint16_t n_told;   /* in a row, see rule_report */
    uint16_t rule_place;
    bool owns_params;
};

/* A thing and all that is done with its readings. */
struct slot {
    struct judge_thing thing;
    char *name;
    struct duty *duties;                 /* by kind */
    uint8_t first[READING_KIND_END + 1]; /* duties of kind k: first[k] to first[k + 1] */
    uint64_t n_zero;   /* gradients: readings that were all zero in a row, from the first */
    double last_value; /* of a learning rate */
    int64_t eval_step; /* of evaluation: last step that was told; valid if has_eval */
    bool has_eval;
    bool has_value;
    bool has_moved; /* gradients: one was not zero */
};

struct batch {
    int64_t step;
    uint64_t batch_size;
    size_t n_samples;
    int64_t *samples; /* READING_MAX_SAMPLES; NULL: never used */
    bool is_there;
};

struct judge {
    const struct rule_book *book;
    uint32_t rank;
    struct slot **slots; /* slots[id] */
    uint32_t slots_size;
    struct slot run;   /* of thing 0 */
    void **run_states; /* by place of the rule */
    struct rule_fact *facts;
    size_t n_facts;
    size_t facts_size;
    struct rule_fact *taken; /* of the steps that are looked at */
    size_t taken_size;
    uint32_t serial;
    struct judge_finding *findings;
    size_t n_findings;
    size_t findings_size;
    size_t next_finding;
    struct batch batches[JUDGE_N_BATCHES];
    size_t next_batch;
    /* the clock */
    int64_t newest; /* step that has begun last */
    int64_t before; /* and the one before it */
    bool has_newest;
    bool is_clocked; /* newest was begun by its READING_STEP, not by an early reading */
    bool has_before;
    uint64_t n_begun; /* steps begun in all */
    /* what is known as of the step under evaluation */
    int64_t changes[JUDGE_N_CHANGES];
    bool has_change[JUDGE_N_CHANGES];
    bool is_mixed;  /* a loss scale or f16 output is declared */
    bool is_scaled; /* a loss scale is */
    double lr;
    uint32_t lr_thing;   /* the first one; 0: none */
    uint32_t first_loss; /* of training; 0: none */
    int64_t last_time_ns;
    size_t n_bytes;
    /* symbols of families and modules */
    struct symbol *symbols[1024];
    uint32_t n_symbols;
};

/* A text that has a number. */
struct symbol {
    struct symbol *next;
    uint32_t number; /* from 1 */
    char text[];
};

/** Fill the part of a thing that judge_declare fills. */
void judge_describe(struct judge *judge, struct judge_thing *thing);

/** Note a fact for the judge itself or for a rule. */
void judge_note(struct judge *judge, const struct rule_fact *fact);

/** Let a step begin, by a READING_STEP or another reading; completes what is over. */
void judge_begin_step(struct judge *judge, int64_t step, bool is_clock);

/** Give the slot of a thing; NULL when there is none. */
static inline struct slot *judge_slot(const struct judge *judge, uint32_t id)
{
    return id == 0                  ? (struct slot *)(uintptr_t)&judge->run
           : id < judge->slots_size ? judge->slots[id]
                                    : NULL;
}

#endif
