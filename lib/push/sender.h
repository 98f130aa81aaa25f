/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing a ring to a daemon: greeting, batches, acknowledgements, repeats. The same state
 * machine runs in libbaro's sender thread and, without a thread, in `baro recover`.
 */
#ifndef BARO_SENDER_H
#define BARO_SENDER_H

#include <stdbool.h>

#include "lib/base/ringfile.h"
#include "lib/keys/client.h"

struct sender;

/* What a heartbeat says about the pushing side. */
struct sender_pulse {
    int64_t step;
    uint64_t own_ns;       /* time spent in push calls */
    uint64_t last_control; /* newest that came in */
};

/* Everything is borrowed for the sender's life. */
struct sender_options {
    struct ringfile *ring;
    const char *endpoint;
    const struct keys_client *keys; /* NULL: those of the endpoint and BARO_KEY */
    bool
        is_recovery; /* the ring is of a process that is gone, opened with RINGFILE_RECOVER */
    /* One sentence for a person, from within sender_step; may be NULL. */
    void (*on_message)(const char *text, void *payload);
    /* Fills what a heartbeat says; NULL: no heartbeats. */
    void (*read_pulse)(struct sender_pulse *out_pulse, void *payload);
    /* What the daemon wants measured at each of the next n_steps steps, and for how many
     * steps everything; NULL: who cares. */
    void (*on_attention)(const uint32_t *ids, size_t n, uint32_t n_steps,
        uint32_t everything_steps, void *payload);
    /* What a person asks of the program, perhaps again; NULL: it does not look at that. */
    void (*on_control)(uint64_t id, int kind, double value, void *payload);
    void *payload;
};

/* How far a sender is; readable from any thread. */
struct sender_progress {
    uint64_t n_sent;          /* records given to the socket, repeats included */
    uint64_t acked_seq;       /* committed up to here, as told by the daemon, */
    uint64_t n_acked;         /* but for those that had given way before they were sent */
    bool is_connected;        /* greeted, and not silent for long */
    bool is_done;             /* all in the ring is acknowledged, and all drops are told */
    uint64_t n_damaged_bytes; /* passed over in the ring */
    int refusal;              /* code of the daemon's refusal, or 0 */
};

/* What a recovery brought. */
struct sender_recovery {
    char run_id[128];
    uint64_t n_sent;          /* records sent, repeats included */
    uint64_t n_acked;         /* records that the daemon holds now and did not before */
    uint64_t n_left;          /* still only in the ring */
    uint64_t n_lost;          /* dropped by the client in its life */
    uint64_t n_damaged_bytes; /* passed over */
};

/**
 * Make a sender; connects in its first steps.
 *
 * out_sender  the caller's; sender_destroy it
 * returns  0; BARO_ENOMEM; without keys given, codes of keys_choose
 */
int sender_create(
    struct sender **out_sender, const struct sender_options *options, struct baro_err *err);

/** Close the connection at once and free; accepts NULL. */
void sender_destroy(struct sender *sender);

/**
 * Do one bounded turn: connect, greet, send what is due, take answers.
 *
 * wait_ms  waits at most so long for an answer when there is nothing to do
 * is_urgent  send also what is not worth a batch yet
 * returns  true when something was sent or received
 * thread   one and the same
 */
bool sender_step(struct sender *sender, int wait_ms, bool is_urgent);

/** Read how far it is. Any thread. */
void sender_read_progress(struct sender *sender, struct sender_progress *out_progress);

/**
 * Bring a ring that a process left behind to a daemon and wait until all is committed. The file
 * is deleted when everything is, kept otherwise.
 *
 * timeout_ms  give up after so long without any progress
 * out       filled on success and on BARO_ETIMEOUT
 * returns   0; BARO_ETIMEOUT; the daemon's refusal; codes of ringfile_open (BARO_EBUSY: its
 *           process is alive)
 */
int sender_recover(const char *path, const char *endpoint, int timeout_ms,
    struct sender_recovery *out, struct baro_err *err);

#endif
