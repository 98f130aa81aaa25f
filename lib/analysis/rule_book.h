/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which rules are on, with which parameters, for which series; and rules that the user added. Made
 * by rule_book_default and changed by whoever reads the user's rules file; then read only.
 */
#ifndef BARO_RULE_BOOK_H
#define BARO_RULE_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct rule;

enum {
    RULE_MAX = 64,        /* in the table */
    RULE_MAX_PARAMS = 10, /* of one rule */
    RULE_MAX_OVERRIDES = 1024,
    RULE_MAX_CUSTOM = 128, /* added by the user */
    RULE_MAX_WINDOW = 64,  /* readings that a rule of the user's looks back */
    RULE_MAX_NAME_BYTES = 64,
    RULE_MAX_GLOB_BYTES = 512
};

/* How a user's own rule judges its series. */
enum rule_test {
    RULE_ABOVE = 1, /* value > limit */
    RULE_BELOW,     /* value < limit */
    RULE_JUMP,      /* further above its usual than limit robust deviations */
    RULE_DROP,      /* likewise below */
    RULE_RISE, /* mean of the last window readings over that of the window before > limit */
    RULE_FALL, /* likewise < limit */
    RULE_STUCK, /* unchanged, to limit relative, over window readings */
    RULE_TEST_COUNT
};

/* A rule that the user added, over one statistic of all things that fit. */
struct rule_custom {
    char name[RULE_MAX_NAME_BYTES]; /* the kind of its findings */
    char glob[RULE_MAX_GLOB_BYTES]; /* on "name" of scalars and "name:role" of tensors */
    char stat
        [RULE_MAX_NAME_BYTES]; /* "l2"; of units: "unit.l2"; empty: the value of a scalar */
    enum rule_test test;
    double limit;
    uint32_t window;  /* readings, at most RULE_MAX_WINDOW; 0: 32 */
    uint32_t n_times; /* readings in a row that must be so; 0: 1 */
    uint32_t warm_up; /* readings that are only learnt from; 0: none, of JUMP and DROP 32 */
    int level;        /* enum baro_level; 0: BARO_WATCH */
    char text[256];   /* added to the sentence, may be empty */
    uint32_t line;    /* of the file that it stands in; 0: of none */
};

/* A rule switched or tuned for some things only; later ones win. */
struct rule_override {
    char glob[RULE_MAX_GLOB_BYTES]; /* as in rule_custom */
    uint16_t rule;                  /* of the table */
    int16_t param;                  /* -1: is_on counts */
    bool is_on;
    double value;
    uint32_t line; /* as in rule_custom */
};

/* All a judge is to know. */
struct rule_book {
    bool is_on[RULE_MAX];
    double params[RULE_MAX][RULE_MAX_PARAMS];
    uint32_t quiet_steps;  /* refractory time of a rule and a thing; default 200 */
    uint32_t excuse_steps; /* that an intended change explains; default 50 */
    struct rule_override *overrides;
    size_t n_overrides;
    struct rule_custom *customs;
    size_t n_customs;
};

/** Make a book with all rules on and every parameter at its default; ends when out of memory. */
struct rule_book *rule_book_default(void);

/** Free a book; accepts NULL. */
void rule_book_destroy(struct rule_book *book);

/** Find a rule by name; its place in rule_table, or -1. */
int rule_find(const char *name);

/** Find a parameter of a rule by name; its place, or -1. */
int rule_find_param(const struct rule *rule, const char *name);

/**
 * Switch a rule on or off.
 *
 * rule     its name
 * glob     things that are meant; NULL or empty: all
 * returns  0; BARO_ENOENT, naming the nearest rule; BARO_ELIMIT
 */
int rule_book_switch(struct rule_book *book, const char *rule, const char *glob, bool is_on,
    struct baro_err *err);

/**
 * Set a parameter of a rule.
 *
 * rule, param  their names
 * glob     things that are meant; NULL or empty: all
 * returns  0; BARO_ENOENT, naming what is nearest; BARO_EINVAL outside its range; BARO_ELIMIT
 */
int rule_book_set(struct rule_book *book, const char *rule, const char *param,
    const char *glob, double value, struct baro_err *err);

/**
 * Add a rule of the user's.
 *
 * custom   copied
 * returns  0; BARO_EINVAL for a name that is no word (a-z 0-9 _), is in the table or taken, a
 *          statistic that does not exist, a limit that is not finite; BARO_ELIMIT
 */
int rule_book_add(
    struct rule_book *book, const struct rule_custom *custom, struct baro_err *err);

/** Name a test ("above", "jump", ...); "?" out of range. */
const char *rule_test_name(enum rule_test test);

/** Find a test by name; 0 when there is none. */
enum rule_test rule_test_parse(const char *name);

#endif
