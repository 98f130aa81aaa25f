/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real barod on a socket in a temporary folder, and push clients made of bare ZeroMQ and
 * protobuf, which can do right and wrong at will.
 */
#ifndef DAEMON_RIG_H
#define DAEMON_RIG_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/reading.h"
#include "lib/link/link.h"
#include "proto/wire.h"

/* One daemon and its folder. */
struct rig {
    char dir[128];
    char endpoint[192];
    char log_path[192]; /* what barod wrote to standard error */
    pid_t pid;          /* 0: not running */
    struct link *link;  /* asks it */
    const char *quota;  /* for its next start; NULL: none */
    const char *listen; /* likewise: an endpoint beside its socket */
};

/* A push client; records gather until pusher_send. */
struct pusher {
    void *context;
    void *socket;
    uint8_t stream[WIRE_STREAM_BYTES];
    char run_id[64];
    uint32_t rank;
    uint32_t pid; /* said in Hello; 0: none */
    uint64_t process_start;
    char boot_id[40];
    char ring_path[256];
    uint64_t seq;       /* of the newest record made */
    uint64_t first_seq; /* of the batch being made */
    uint64_t acked;
    int refusal; /* code of the last refusal */
    char refusal_text[256];
    bool is_recovery; /* said in Hello */
    char note[512];   /* the last that came with an acknowledgement */
    uint8_t *sticky;
    size_t n_sticky;
    uint8_t *records;
    size_t n_records_bytes;
    uint32_t n_records;
};

/** Make the folder and start barod in it; waits until it answers. */
void rig_start(struct rig *rig);
/** Start barod again in the same folder. */
void rig_restart(struct rig *rig);
/** Kill it with SIGKILL. */
void rig_kill(struct rig *rig);
/** Stop it with SIGTERM, check that it ends with 0, remove the folder. */
void rig_finish(struct rig *rig);
/** Start barod with arguments, wait for its end, give its exit code and what it said. */
int rig_run(const char *const *arguments, char *out_text, size_t text_bytes);
/** Tell whether the daemon's log holds a text. */
bool rig_log_has(const struct rig *rig, const char *text);

/** Ask and fail the test without an answer; *out is to be released. */
void rig_ask(struct rig *rig, Baro__Envelope *request, struct link_message *out);
/** Ask for something that must be refused; gives the code. */
int rig_ask_refused(struct rig *rig, Baro__Envelope *request, struct baro_err *err);
/** Give what the daemon knows of a run; NULL when it has none of that id. Release *out. */
Baro__RunInfo *rig_run_info(struct rig *rig, const char *run_id, struct link_message *out);
/** Wait until a run has a status; fails after some seconds. */
void rig_wait_status(struct rig *rig, const char *run_id, Baro__RunStatus status);
/** Wait until so many records of a run are committed. */
void rig_wait_records(struct rig *rig, const char *run_id, uint64_t n_records);
/** Read all points of a scalar; gives their number. *out_points: caller frees. */
size_t rig_points(struct rig *rig, uint32_t run, uint32_t thing, double **out_values,
    int64_t **out_steps);
/** Find a thing of a run by name; 0 when there is none. */
uint32_t rig_thing(struct rig *rig, uint32_t run, const char *name);

/** Prepare a client with a stream made from a seed, and connect it. */
void pusher_init(
    struct pusher *pusher, const struct rig *rig, const char *run_id, int seed);
/** As pusher_init, for a process that opened the run at a wall time. */
void pusher_init_at(struct pusher *pusher, const struct rig *rig, const char *run_id,
    int seed, int64_t created_ns);
/** As pusher_init, with a description of which only project and name are filled in. */
void pusher_init_described(struct pusher *pusher, const struct rig *rig, int seed,
    Baro__RunDescription *description);
/** Connect anew, as after a lost connection. */
void pusher_reconnect(struct pusher *pusher, const struct rig *rig);
/** Close it. */
void pusher_finish(struct pusher *pusher);
/** Declare a scalar, for the next Hello or batch. */
void pusher_declare_scalar(struct pusher *pusher, uint32_t id, const char *name);
/** Declare a tensor of n_rows x n_units, for the next Hello or batch. */
void pusher_declare_tensor(struct pusher *pusher, uint32_t id, const char *name,
    enum baro_role role, uint32_t n_rows, uint32_t n_units);
/** Say Hello with all that was declared and wait for the answer: last committed, or -1. */
int64_t pusher_hello(struct pusher *pusher);
/** Add a record of any kind to the batch. */
void pusher_record(struct pusher *pusher, uint16_t kind, uint32_t thing, int64_t step,
    const void *payload, size_t n_bytes);
/** Add a scalar. */
void pusher_scalar(struct pusher *pusher, uint32_t thing, int64_t step, double value);
/** Add a summary with so many NaN and +Inf, first in unit and row. */
void pusher_summary(struct pusher *pusher, uint32_t thing, int64_t step, double l2,
    double n_nan, double n_inf, double unit, double row);
/** Add the samples of a batch. */
void pusher_batch(struct pusher *pusher, int64_t step, const int64_t *samples, size_t n);
/** Send the batch; the records stay until pusher_clear. */
void pusher_send(struct pusher *pusher);
/** Forget the records of the batch. */
void pusher_clear(struct pusher *pusher);
/** Send the batch, wait until all is acknowledged, clear. Fails after some seconds. */
void pusher_flush(struct pusher *pusher);
/** Take one message if there is one within the time; false when none came. */
bool pusher_listen(struct pusher *pusher, int timeout_ms);
/** Wait for a refusal and give its code; 0 when none came. */
int pusher_wait_refusal(struct pusher *pusher);
/** Send raw parts as they are. */
void pusher_send_raw(
    struct pusher *pusher, const void *const *parts, const size_t *n_bytes, int n);

#endif
