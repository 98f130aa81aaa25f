# SPDX-License-Identifier: Apache-2.0
"""What an alert is worth: right or wrong, in time or late, and how much noise there was beside it.

An alert counts from the step at which it was noticed; the one that it names, from which on the
fault shows, may lie further back. (It is told when the second step after that begins.)"""
import math
import statistics

IN_TIME = 3          # steps after the first at which a sudden fault can be seen
STANDING_BY = 100    # steps after which a standing fault must have been told
UNSEEN_BY = 150      # a slow fault that the loss never shows: steps after it can be seen
PAST = 64            # steps before a fault that tell what its loss is usually like
PACE = ("throughput", "straggler")
EARLY = 1            # an alert so many steps before the first visible step may still be right


def loss_shows(losses, step):
    """The first step from a fault on at which the loss itself tells: it is no number, or three times
    in a row, or once by far, above all that the 64 steps before the fault let one expect."""
    past = [x for x in losses[max(0, step - PAST):step] if x is not None and math.isfinite(x)]
    run = 0
    usual = statistics.median(past) if len(past) >= 16 else None
    spread = 1.4826 * statistics.median(abs(x - usual) for x in past) if past and usual else 0.0
    spread = max(spread, 0.02 * abs(usual or 0.0), 1e-9)
    for now in range(step, len(losses)):
        x = losses[now]
        if x is None or not math.isfinite(x):
            return now
        if usual is None:
            continue
        score = (x - usual) / spread
        run = run + 1 if score > 4 else 0
        if score > 12 or run >= 3:
            return now - max(0, run - 1)
    return None


def is_module(alert, modules):
    """Tell whether an alert names one of the modules that are right, by module, tensor or input."""
    if not modules:
        return None
    named = {alert.get("module") or "", alert.get("tensor") or ""}
    named |= {name.split("#")[0] for name in named}
    named |= {name.rsplit(".", 1)[0] for name in named if name.endswith((".weight", ".bias"))}
    return bool(named & set(modules))


def split_listing(listed):
    """Part `baro alerts --json` into alerts and incidents."""
    incidents = [one for one in listed if "headline" in one]
    return [one for one in listed if "headline" not in one and "step" in one], incidents


def was_busy(alert, known):
    """Tell whether steps took longer because others used the machine: the clock went on, but the
    process itself worked no longer than before, or for a part of the time only. Such an alert about
    the pace is right, whatever the training is."""
    times, at = known.get("times") or [], alert["step"] - known["first_step"] - 2
    end = min(alert["noticed"] - known["first_step"] + 1, len(times) - 1)
    if alert["kind"] not in PACE or not 8 <= at < end:
        return False
    work = [after[1] - before[1] for before, after in zip(times, times[1:])]
    took = [times[end][i] - times[at][i] for i in (0, 1)]
    usual = statistics.median(work[max(0, at - 64):at])
    return took[1] / (end - at) < 1.5 * usual or took[0] > 1.3 * took[1]


def n_incidents(alerts):
    return len({one["incident"] if one.get("incident") else ("alone", one["id"])
                for one in alerts})


def score(case, known):
    """Judge one run. known: what stage.perform gave."""
    alerts, _ = split_listing(known["listed"])
    for one in alerts:
        one.setdefault("noticed", one["step"])
    is_late = case.group != "healthy"
    busy = [one for one in alerts if was_busy(one, known) and not (
        is_late and one["noticed"] >= known["truth"]["step"])]
    alerts = [one for one in alerts if one not in busy]
    result = {"name": case.name, "seed": known["seed"], "group": case.group,
              "seconds": known["seconds"], "status": known["status"],
              "n_readings": known["n_readings"], "n_alerts": len(alerts),
              "n_incidents": n_incidents(alerts), "n_busy": len(busy),
              "is_replay_same": same_in_replay(alerts + busy, known)}
    if case.group == "healthy":
        result["alerts"] = brief(alerts)
        return result
    truth = known["truth"]
    first = truth["step"]
    early = [one for one in alerts if one["noticed"] < first - EARLY]
    later = [one for one in alerts if one["noticed"] >= first - EARLY]
    right = [one for one in later if one["kind"] in case.kinds]
    if case.is_killed and known["status"] in ("killed", "stalled"):
        right = right or [{"kind": known["status"], "step": first, "noticed": first,
                           "module": None, "unit": -1}]
    shown = loss_shows(known["losses"], first - known["first_step"])
    shown = None if shown is None else shown + known["first_step"]
    found = min(right, key=lambda one: one["noticed"]) if right else None
    result.update(cause=case.cause, pace=case.pace, first=first, loss_step=shown,
                  n_early=len(early), early=brief(early),
                  others=sorted({one["kind"] for one in later} - set(case.kinds)),
                  kind=found["kind"] if found else None, step=found["noticed"] if found else None)
    result["is_right"] = found is not None
    result["delay"] = found["noticed"] - first if found else None
    result["lead"] = shown - found["noticed"] if found and shown is not None else None
    result["is_within_3"] = found is not None and result["delay"] <= IN_TIME
    result["is_in_time"] = found is not None and in_time(case.pace, result)
    result["is_module"] = module_of(right, truth)
    result["is_unit"] = (None if truth["unit"] is None else
                         any(one["unit"] == truth["unit"] for one in right))
    result["is_sample"] = (None if truth["sample"] is None else
                           any(truth["sample"] in one.get("samples", []) for one in right))
    if not result["is_in_time"] or early:
        result["alerts"] = brief(alerts)
    return result


def module_of(right, truth):
    """Whether the earliest step of right alerts names a right module."""
    if not truth["modules"] or not right:
        return None if not truth["modules"] else False
    first = min(one["noticed"] for one in right)
    return any(is_module(one, truth["modules"]) for one in right
               if one["noticed"] <= first + IN_TIME)


def in_time(pace, result):
    if pace == "sudden":
        return result["delay"] <= IN_TIME
    if pace == "standing":
        return result["delay"] <= STANDING_BY
    if result["loss_step"] is None:
        return result["delay"] <= UNSEEN_BY
    return result["step"] < result["loss_step"] or result["delay"] <= IN_TIME


def same_in_replay(alerts, known):
    """Whether `baro replay` told the same alerts; None: it was not to be had."""
    replayed = known.get("replayed")
    if replayed is None:
        return None
    replayed = [one for one in replayed if "step" in one and "headline" not in one]

    def facts(one):
        return (one["step"], one["kind"], one.get("tensor"), one.get("unit"), one.get("value"))
    return sorted(map(str, map(facts, replayed))) == sorted(map(str, map(facts, alerts)))


def brief(alerts):
    return [{"step": one["step"], "noticed": one["noticed"], "kind": one["kind"],
             "tensor": one.get("tensor"),
             "role": one.get("role"), "unit": one.get("unit"), "severity": one.get("severity"),
             "incident": one.get("incident"), "text": one.get("text")} for one in alerts]
