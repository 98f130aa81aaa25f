/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/notes.h"
#include "daemon/registry.h"
#include "lib/base/mem.h"

/*
 * Branches. A branch is a run of its own with a parent and a step: up to that step its history is
 * the parent's, from there on its own. Nothing is copied but declarations and alerts; readings
 * are found over registry_lineage. The branch carries on the name by which the run is known, and
 * the parent is called "ID~1": a name once given stays, so "ID~1" is the first of several.
 *
 * Until the first reading of a branch has come, it inherits all that its parent has, unless the
 * step was said.
 */

/* ---- making ---- */

/* The first of "ID~1", "ID~2", ... that no run has; to be freed. */
static char *free_id(const struct registry *registry, const char *id)
{
    size_t size = strlen(id) + 16;
    char *name = baro_xcalloc(size, 1);
    struct run *taken = NULL;
    uint32_t n = 0;
    do {
        (void)snprintf(name, size, "%s~%" PRIu32, id, ++n);
        HASH_FIND_STR(registry->runs_by_id, name, taken);
    } while (taken != NULL);
    return name;
}

static void rename_run(struct registry *registry, struct run *run, char *id)
{
    HASH_DEL(registry->runs_by_id, run);
    free(run->description->run_id);
    run->description->run_id = id;
    HASH_ADD_KEYPTR(hh, registry->runs_by_id, id, strlen(id), run);
    registry_touch_run(run);
}

struct run *registry_add_branch(struct registry *registry, struct run *parent,
    Baro__RunDescription *description, int64_t branch_step)
{
    char *id = free_id(registry, description->run_id);
    if (strcmp(parent->description->run_id, description->run_id) == 0) {
        rename_run(registry, parent, id);
    } else {
        free(description->run_id);
        description->run_id = id;
    }
    struct run *run = registry_add_run(registry, description);
    assert(run != parent);
    run->parent = parent;
    run->branch_step = branch_step;
    run->is_branch_open = true;
    parent->n_branches++;
    for (uint32_t i = 0; i < parent->n_things; i++) {
        const struct thing *thing = parent->things[i];
        bool is_later =
            thing->n_points + thing->n_unit_points > 0 && thing->first_step >= branch_step;
        if (!is_later || registry_inherited(thing).n_points > 0) {
            registry_hand_down(registry, run, thing);
        }
    }
    registry_touch_run(parent);
    registry_touch_run(run);
    return run;
}

/* The branch's name for a thing of its parent; 0 when it has none. */
static uint32_t thing_in(const struct run *run, uint32_t id)
{
    const struct thing *thing = registry_thing(run->parent, id);
    const struct thing *own = thing != NULL ? registry_find_like(run, thing) : NULL;
    return own != NULL ? own->id : 0;
}

static Baro__Alert *copy_alert(const Baro__Alert *alert)
{
    size_t n_bytes = baro__alert__get_packed_size(alert);
    baro_autofree uint8_t *packed = baro_xcalloc(n_bytes > 0 ? n_bytes : 1, 1);
    return baro__alert__unpack(NULL, baro__alert__pack(alert, packed), packed);
}

/* Evidence speaks of the branch's things. */
static void name_evidence(const struct run *run, Baro__Evidence **evidence, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (evidence[i]->series != NULL) {
            evidence[i]->series->thing = thing_in(run, evidence[i]->series->thing);
        }
    }
}

static Baro__Incident *copy_incident(const Baro__Incident *incident)
{
    size_t n_bytes = baro__incident__get_packed_size(incident);
    baro_autofree uint8_t *packed = baro_xcalloc(n_bytes > 0 ? n_bytes : 1, 1);
    return baro__incident__unpack(NULL, baro__incident__pack(incident, packed), packed);
}

/* Incidents of which the branch has alerts; ids: what those of the parent are called there, or 0. */
static void inherit_incidents(
    struct registry *registry, struct run *run, const uint64_t *ids, struct bundle *bundle)
{
    const struct run *parent = run->parent;
    for (uint32_t i = 0; i < parent->n_incidents; i++) {
        Baro__Incident *incident = copy_incident(parent->incidents[i]);
        size_t n = 0;
        for (size_t k = 0; incident != NULL && k < incident->n_alerts; k++) {
            uint64_t id = incident->alerts[k];
            if (id > 0 && id <= parent->n_alerts && ids[id - 1] != 0) {
                incident->alerts[n++] = ids[id - 1];
            }
        }
        if (incident == NULL || n == 0) {
            if (incident != NULL) {
                baro__incident__free_unpacked(incident, NULL);
            }
            continue;
        }
        incident->n_alerts = n;
        incident->run = run->number;
        incident->is_open = false;
        name_evidence(run, incident->evidence, incident->n_evidence);
        registry_put_incident(registry, run, incident);
        registry_save_incident(bundle, incident);
    }
}

void registry_close_branch(
    struct registry *registry, struct run *run, int64_t branch_step, struct bundle *bundle)
{
    run->branch_step = branch_step;
    run->is_branch_open = false;
    registry_touch_run(run);
    const struct run *parent = run->parent;
    baro_autofree uint64_t *ids = baro_xcalloc((size_t)parent->n_alerts + 1, sizeof *ids);
    for (uint32_t i = 0; i < parent->n_alerts; i++) {
        Baro__Alert *alert =
            parent->alerts[i]->step < branch_step ? copy_alert(parent->alerts[i]) : NULL;
        if (alert != NULL) {
            alert->thing = thing_in(run, alert->thing);
            name_evidence(run, alert->evidence, alert->n_evidence);
            registry_add_alert(registry, run, alert);
            registry_save_alert(bundle, run, alert);
            ids[i] = alert->id;
        }
    }
    inherit_incidents(registry, run, ids, bundle);
    notes_inherit(run, branch_step, bundle);
}

struct run *registry_root(struct run *run)
{
    while (run->parent != NULL) {
        run = run->parent;
    }
    return run;
}

/* With its last branch gone a run is as it was before: not overwritten, and called by its id. */
static void release_parent(
    struct registry *registry, struct run *parent, const struct run *branch)
{
    const char *id = branch->description->run_id;
    size_t n = strlen(id);
    if (parent->n_branches > 0 && --parent->n_branches == 0) {
        parent->is_overwritten = false;
    }
    if (strncmp(parent->description->run_id, id, n) == 0 &&
        parent->description->run_id[n] == '~') {
        rename_run(registry, parent, baro_xstrdup(id));
    }
    registry_touch_run(parent);
}

void registry_disown_branches(struct registry *registry, const struct run *run)
{
    if (run->parent != NULL) {
        release_parent(registry, run->parent, run);
    }
    for (uint32_t i = 0; i < registry->n_runs; i++) {
        struct run *branch = registry->runs[i];
        if (branch->parent != run) {
            continue;
        }
        branch->parent = run->parent;
        branch->is_branch_open = branch->is_branch_open && run->parent != NULL;
        if (run->parent != NULL) {
            run->parent->n_branches++;
            branch->branch_step = run->branch_step < branch->branch_step
                                      ? run->branch_step
                                      : branch->branch_step;
        }
        registry_touch_run(branch);
    }
}

/* ---- reading ---- */

/* A walk from a run up to what it branched from, with the last step that counts there. */
struct walk {
    const struct run *run;
    int64_t to_step;
};

/* Go one up; false when nothing above counts. */
static bool walk_up(struct walk *walk)
{
    const struct run *run = walk->run;
    if (run->parent == NULL || run->branch_step == INT64_MIN) {
        return false;
    }
    int64_t before = run->branch_step - 1;
    walk->to_step = before < walk->to_step ? before : walk->to_step;
    walk->run = run->parent;
    return true;
}

size_t registry_lineage(const struct registry *registry, const struct run *run,
    const struct thing *thing, struct lineage_part *out)
{
    (void)registry;
    struct walk walk = {run, INT64_MAX};
    size_t n = 0;
    do {
        const struct thing *part = thing;
        if (thing != NULL && walk.run != run) {
            part = registry_find_like(walk.run, thing);
        }
        if (thing == NULL || part != NULL) {
            out[n++] = (struct lineage_part){
                walk.run->number, part != NULL ? part->id : 0, walk.to_step};
        }
    } while (n < REGISTRY_MAX_LINEAGE && walk_up(&walk));
    for (size_t i = 0; i < n / 2; i++) {
        struct lineage_part newer = out[i];
        out[i] = out[n - 1 - i];
        out[n - 1 - i] = newer;
    }
    return n;
}

/* About how many of a thing's own points lie at steps up to one. */
static uint64_t points_up_to(const struct thing *thing, int64_t to_step)
{
    if (thing->n_points == 0 || thing->first_step > to_step) {
        return 0;
    }
    if (thing->last_step <= to_step) {
        return thing->n_points;
    }
    double share = ((double)to_step - (double)thing->first_step + 1) /
                   ((double)thing->last_step - (double)thing->first_step + 1);
    double n = (double)thing->n_points * share;
    return n >= 1 ? (uint64_t)n : 1; /* its first is among them */
}

struct inheritance registry_inherited(const struct thing *thing)
{
    struct inheritance out = {0};
    struct walk walk = {thing->run, INT64_MAX};
    while (walk_up(&walk)) {
        const struct thing *part = registry_find_like(walk.run, thing);
        uint64_t n = part != NULL ? points_up_to(part, walk.to_step) : 0;
        if (n == 0) {
            continue;
        }
        int64_t last = part->last_step < walk.to_step ? part->last_step : walk.to_step;
        bool is_first = out.n_points == 0;
        out.is_estimate |= part->last_step > walk.to_step;
        out.n_points += n;
        out.first_step = is_first || part->first_step < out.first_step ? part->first_step
                                                                       : out.first_step;
        out.last_step = is_first || last > out.last_step ? last : out.last_step;
    }
    return out;
}

bool registry_steps(const struct run *run, int64_t *out_first, int64_t *out_last)
{
    struct walk walk = {run, INT64_MAX};
    bool has_any = false;
    do {
        const struct run *at = walk.run;
        if (!at->has_steps || at->first_step > walk.to_step) {
            continue;
        }
        int64_t last = at->last_step < walk.to_step ? at->last_step : walk.to_step;
        *out_last = !has_any || last > *out_last ? last : *out_last;
        *out_first = !has_any || at->first_step < *out_first ? at->first_step : *out_first;
        has_any = true;
    } while (walk_up(&walk));
    return has_any;
}
