/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/live.h"
#include "daemon/live_inside.h"
#include "lib/base/mem.h"

/* What is told at once, whatever else waits: series, incidents, notes, alerts, runs. */

void live_send_things(struct barod *barod, struct subscription *subscription,
    const struct run *run, struct thing *const *of, size_t n)
{
    baro_autofree Baro__ThingInfo *infos = baro_xcalloc(n, sizeof *infos);
    baro_autofree Baro__ThingInfo **pointers = baro_xcalloc(n, sizeof(Baro__ThingInfo *));
    for (size_t i = 0; i < n; i++) {
        registry_describe_thing(of[i], &infos[i]);
        pointers[i] = &infos[i];
    }
    Baro__LiveThings things;
    baro__live_things__init(&things);
    things.run = run->number;
    things.n_things = n;
    things.things = pointers;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_LIVE_THINGS;
    envelope.live_things = &things;
    (void)live_send(barod, subscription, &envelope, NULL);
}

void live_on_thing(struct barod *barod, struct run *run, struct thing *thing)
{
    for (size_t i = 0; run->n_subscribers > 0 && i < barod->live->n; i++) {
        struct subscription *subscription = &barod->live->subscriptions[i];
        if (subscription->run == run && subscription->is_chosen) {
            live_send_things(barod, subscription, run, &thing, 1);
        }
    }
}

/* Send news of a run to its subscribers and to those of all runs' news. */
static void send_news(struct barod *barod, uint32_t run, Baro__Envelope *envelope)
{
    for (size_t i = 0; i < barod->live->n; i++) {
        struct subscription *subscription = &barod->live->subscriptions[i];
        if (subscription->run == NULL || subscription->run->number == run) {
            (void)live_send(barod, subscription, envelope, NULL);
        }
    }
}

void live_incident(struct barod *barod, const Baro__Incident *incident)
{
    Baro__LiveIncident live_incident;
    baro__live_incident__init(&live_incident);
    live_incident.incident = (Baro__Incident *)(uintptr_t)incident;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_LIVE_INCIDENT;
    envelope.live_incident = &live_incident;
    send_news(barod, incident->run, &envelope);
}

void live_note(struct barod *barod, const Baro__Note *note)
{
    Baro__LiveNote live_note;
    baro__live_note__init(&live_note);
    live_note.note = (Baro__Note *)(uintptr_t)note;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_LIVE_NOTE;
    envelope.live_note = &live_note;
    send_news(barod, note->run, &envelope);
}

void live_alert(struct barod *barod, const Baro__Alert *alert)
{
    Baro__LiveAlert live_alert;
    baro__live_alert__init(&live_alert);
    live_alert.alert = (Baro__Alert *)(uintptr_t)alert;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_LIVE_ALERT;
    envelope.live_alert = &live_alert;
    send_news(barod, alert->run, &envelope);
}

void live_send_run(struct barod *barod, struct run *run)
{
    Baro__RunInfo info;
    registry_describe_run(run, &info);
    Baro__LiveRun live_run;
    baro__live_run__init(&live_run);
    live_run.run = &info;
    Baro__Envelope envelope;
    baro__envelope__init(&envelope);
    envelope.body_case = BARO__ENVELOPE__BODY_LIVE_RUN;
    envelope.live_run = &live_run;
    send_news(barod, run->number, &envelope);
    run->is_live_dirty = false;
    run->live_told_ns = barod->now_ns;
}
