/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The value types that both libbaro's users and every layer of Barograph share: error codes,
 * element types, roles, levels. Installed beside baro.h, which includes it. C99 and C++.
 */
#ifndef BARO_TYPES_H
#define BARO_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Every code with the sentence that baro_strerror() gives for it. 0 is success. */
#define BARO_CODES(X)                                                                      \
    X(BARO_EINVAL, -1, "an argument is not valid")                                         \
    X(BARO_ENOMEM, -2, "out of memory")                                                    \
    X(BARO_ENOENT, -3, "no such thing")                                                    \
    X(BARO_EEXIST, -4, "exists already")                                                   \
    X(BARO_EACCES, -5, "not permitted")                                                    \
    X(BARO_EIO, -6, "input or output failed")                                              \
    X(BARO_EFULL, -7, "no room left")                                                      \
    X(BARO_EVERSION, -8, "written by another version")                                     \
    X(BARO_ECORRUPT, -9, "damaged data")                                                   \
    X(BARO_ELIMIT, -10, "over a declared limit")                                           \
    X(BARO_EBUSY, -11, "in use by another process")                                        \
    X(BARO_ETIMEOUT, -12, "no answer in time")                                             \
    X(BARO_EUNSUPPORTED, -13, "not supported")                                             \
    X(BARO_ECLOSED, -14, "closed already")

enum baro_code {
    BARO_OK = 0,
#define BARO_CODE_ENUM(name, value, text) name = value,
    BARO_CODES(BARO_CODE_ENUM)
#undef BARO_CODE_ENUM
};

/* An error for a person: untouched on success, always NUL-terminated. */
struct baro_err {
    int code;       /* 0 or a negative enum baro_code */
    char text[240]; /* one sentence, UTF-8: what was wrong, where, what to do */
};

/* Element types of tensors. */
enum baro_dtype {
    BARO_F32 = 1,
    BARO_F64,
    BARO_F16,
    BARO_BF16,
    BARO_I8,
    BARO_I16,
    BARO_I32,
    BARO_I64,
    BARO_U8,
    BARO_BOOL,
    BARO_DTYPE_END /* one past the last */
};

/* What a tensor is in the model. */
enum baro_role {
    BARO_WEIGHT = 1,
    BARO_GRAD,     /* gradient of a parameter */
    BARO_ACT,      /* output of a module */
    BARO_ACT_GRAD, /* gradient of a module's output */
    BARO_UPDATE,   /* what the optimiser added */
    BARO_INPUT,    /* input of the model */
    BARO_OPT,      /* state of the optimiser */
    BARO_ROLE_END  /* one past the last */
};

/* Gravity of events and alerts. */
enum baro_level {
    BARO_INFO = 1,
    BARO_WATCH, /* look at it when convenient */
    BARO_ALARM, /* work is being lost */
    BARO_LEVEL_END
};

/* Who reads tensors: this process, or the daemon, to which they are sent whole. */
enum baro_summarise {
    BARO_SUMMARISE_DEFAULT = 0,
    BARO_SUMMARISE_HERE,
    BARO_SUMMARISE_DAEMON
};

enum { BARO_MAX_DIMS = 8, BARO_NO_UNITS = -1 };

/* What happens when the run exists already. Nothing of it is ever silent: the run tells. */
enum baro_resume {
    BARO_RESUME_APPEND =
        0, /* its readings go on; steps that come again are kept and marked */
    BARO_RESUME_OVERWRITE, /* from resume_step on the new readings take the old ones' place */
    BARO_RESUME_BRANCH /* likewise, and the old ones stay, shown as a branch of the run */
};

#ifdef __cplusplus
}
#endif
#endif
