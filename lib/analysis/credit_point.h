/* SPDX-License-Identifier: Apache-2.0 */
/* The functions behind operations that work element by element; credit_pointwise.c is their rule. */
#ifndef BARO_CREDIT_POINT_H
#define BARO_CREDIT_POINT_H

#include <stdbool.h>
#include <stddef.h>

enum { CREDIT_POINT_ARGS = 5 };

/* How value mode shares an element out. */
enum credit_point_kind {
    CREDIT_POINT_ONE = 0, /* all to the tensors of group 0, evenly; signals first */
    CREDIT_POINT_SUM,     /* by the eps rule to groups, whose terms parts() gives */
    CREDIT_POINT_PICK     /* to the one group that parts() gives as not 0 */
};

/* One operation. x: its arguments in order, tensors' elements and numbers alike. */
struct credit_point {
    const char *names;
    const char
        *args; /* names of arguments, separated by blanks; "*" at the end of those that are
                         never tensors */
    double otherwise[CREDIT_POINT_ARGS];  /* for arguments that are not given */
    signed char group[CREDIT_POINT_ARGS]; /* of arguments; -1: gets no share */
    enum credit_point_kind kind;
    double (*f)(const double *x);
    void (*df)(const double *x, double *out);    /* derivatives by the tensor arguments */
    void (*parts)(const double *x, double *out); /* of groups; see kind; NULL for ONE */
    bool (*is_near)(
        const double *x); /* to where f is not defined or overflows; NULL: never */
};

/** Find the function of an operation's name of n bytes; NULL: there is none. */
const struct credit_point *credit_point_find(const char *name, size_t n);

/* All names, separated by blanks. */
extern const char credit_point_names[];

#endif
