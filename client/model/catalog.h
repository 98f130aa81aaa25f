/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog: the lists behind a model (runs; things, alerts and events of one run), kept up
 * to date from messages and handed out as parts. The keeper's own; one thread.
 */
#ifndef CLIENT_MODEL_CATALOG_H
#define CLIENT_MODEL_CATALOG_H

#include "client/model/model.h"

struct catalog;

/** Create an empty catalog. */
struct catalog *catalog_create(void);

/** Free a catalog and all texts of the models made from it; NULL is fine. */
void catalog_destroy(struct catalog *catalog);

/** Forget things, alerts, events and notes: another run is wanted. */
void catalog_clear_run(struct catalog *catalog);

/** Keep a text for as long as the catalog lives. */
const char *catalog_text(struct catalog *catalog, const char *text);

/** Replace the list of runs. */
void catalog_set_runs(struct catalog *catalog, Baro__RunInfo *const *runs, size_t n);
/** Bring one run up to date; a new one is put first. */
void catalog_set_run(struct catalog *catalog, const Baro__RunInfo *info);

/** Find a run; NULL if unknown. */
struct model_run *catalog_run(struct catalog *catalog, uint32_t run);

/** Note that a run has reached a step, at a wall time. */
void catalog_on_step(struct catalog *catalog, uint32_t run, int64_t step, int64_t time_ns);

/** Bring things up to date; unknown ones are added. At most 65,536 are kept. */
void catalog_set_things(struct catalog *catalog, Baro__ThingInfo *const *things, size_t n);

/** All things, borrowed until they change; *out_n of them. */
const struct model_thing *catalog_things(const struct catalog *catalog, size_t *out_n);

/** Find a thing, to be changed in place with catalog_touch_things; NULL if unknown. */
struct model_thing *catalog_thing(struct catalog *catalog, uint32_t thing);
/** Say that a thing was changed in place. */
void catalog_touch_things(struct catalog *catalog);

/** Add alerts, replacing those with the same id; kept in order of steps. */
void catalog_add_alerts(struct catalog *catalog, Baro__Alert *const *alerts, size_t n);

/** Add incidents, replacing those with the same id; in order of their numbers. */
void catalog_add_incidents(
    struct catalog *catalog, Baro__Incident *const *incidents, size_t n);

/** Add an event; text need not end in NUL. One heard twice is kept once. */
void catalog_add_event(struct catalog *catalog, int64_t step, int64_t time_ns,
    enum baro_level level, const char *text, size_t n_text);

/** Replace the notes of the run. */
void catalog_set_notes(struct catalog *catalog, Baro__Note *const *notes, size_t n);
/** Add a note, or take it away when it is removed; kept in order of steps. */
void catalog_add_note(struct catalog *catalog, const Baro__Note *from);

/** Whether any list has changed since the last catalog_publish. */
bool catalog_is_changed(const struct catalog *catalog);

/** Put references to the lists into a model, replacing those that it has. */
void catalog_publish(struct catalog *catalog, struct model *model);

#endif
