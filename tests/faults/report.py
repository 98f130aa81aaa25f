# SPDX-License-Identifier: Apache-2.0
"""What a person reads of the results: a line for each run, a summary for each split."""
import json
import statistics

HEAD = (f"{'kind':22} {'split':6} {'verdict':8} {'alert':18} {'delay':>5} {'lead':>5} "
        f"{'module':6} {'sample':6} {'incid.':>6} {'alerts':>6} {'early':>5} {'readings':>9} {'s':>5}")


def _mark(value):
    return "" if value is None else "yes" if value else "no"


def _number(value):
    return "" if value is None else str(value)


def line(result):
    """One run."""
    if "trouble" in result:
        return f"{result['name']:22} {result['split']:6} TROUBLE  {result['trouble']}"
    quiet = "quiet" if result["n_alerts"] == 0 else "FALSE"
    text = f"{result['name']:22} {result['split']:6} "
    if result["group"] == "healthy":
        kinds = ",".join(sorted({one["kind"] for one in result["alerts"]}))
        text += f"{quiet:8} {kinds[:46]:46} "
        return text + (f"{result['n_incidents']:6} {result['n_alerts']:6} {'':5} "
                       f"{result['n_readings']:9} {result['seconds']:5.1f}")
    verdict = "right" if result["is_in_time"] else "late" if result["is_right"] else "MISSED"
    text += (f"{verdict:8} {(result['kind'] or ','.join(result['others']))[:18]:18} "
             f"{_number(result['delay']):>5} {_number(result['lead']):>5} "
             f"{_mark(result['is_module']):6} {_mark(result['is_sample']):6} ")
    return text + (f"{result['n_incidents']:6} {result['n_alerts']:6} {result['n_early']:5} "
                   f"{result['n_readings']:9} {result['seconds']:5.1f}")


def _share(results, key):
    known = [one[key] for one in results if one.get(key) is not None]
    return {"n": sum(known), "of": len(known),
            "share": round(sum(known) / len(known), 4) if known else None}


def figures(results):
    """The summary of some results."""
    good = [one for one in results if "trouble" not in one]
    healthy = [one for one in good if one["group"] == "healthy"]
    faulty = [one for one in good if one["group"] == "faulty"]
    readings = sum(one["n_readings"] for one in healthy)
    alerts = sum(one["n_alerts"] for one in healthy)
    incidents = sum(one["n_incidents"] for one in healthy)
    delays = [one["delay"] for one in faulty if one["delay"] is not None]
    leads = [one["lead"] for one in faulty if one["lead"] is not None]
    out = {"n_healthy": len(healthy), "n_faulty": len(faulty),
           "n_trouble": len(results) - len(good),
           "right": _share(faulty, "is_right"), "in_time": _share(faulty, "is_in_time"),
           "within_3": _share(faulty, "is_within_3"), "module": _share(faulty, "is_module"),
           "unit": _share(faulty, "is_unit"), "sample": _share(faulty, "is_sample"),
           "median_delay": statistics.median(delays) if delays else None,
           "median_lead": statistics.median(leads) if leads else None,
           "before_loss": {"n": sum(lead > 0 for lead in leads), "of": len(leads)},
           "incidents_per_fault": round(sum(one["n_incidents"] for one in faulty) /
                                        len(faulty), 2) if faulty else None,
           "early_alerts": sum(one["n_early"] for one in faulty),
           "healthy_incidents": incidents, "healthy_alerts": alerts,
           "healthy_readings": readings,
           "incidents_per_healthy": round(incidents / len(healthy), 3) if healthy else None,
           "alerts_per_million": round(alerts / readings * 1e6, 3) if readings else None,
           "busy_alerts": sum(one["n_busy"] for one in good),
           "replay": _share(good, "is_replay_same")}
    for pace in ("sudden", "slow", "standing"):
        out[f"in_time_{pace}"] = _share([one for one in faulty if one["pace"] == pace],
                                        "is_in_time")
    return out


def _of(share):
    if not share["of"]:
        return "-"
    return f"{share['n']} of {share['of']} ({100 * share['n'] / share['of']:.0f} %)"


def show(name, found):
    print(f"\n{name}: {found['n_faulty']} faulty runs, {found['n_healthy']} healthy ones"
          + (f", {found['n_trouble']} that could not be run" if found["n_trouble"] else ""))
    if found["n_faulty"]:
        print(f"  right kind in time    {_of(found['in_time'])}   (sudden "
              f"{_of(found['in_time_sudden'])}, slow {_of(found['in_time_slow'])}, standing "
              f"{_of(found['in_time_standing'])})")
        print(f"  right kind at all     {_of(found['right'])}; within 3 steps "
              f"{_of(found['within_3'])}")
        print(f"  right module          {_of(found['module'])}; unit {_of(found['unit'])}; sample "
              f"{_of(found['sample'])}")
        print(f"  before the loss       {_of(found['before_loss'])}; median lead "
              f"{found['median_lead']} steps, median delay {found['median_delay']}")
        print(f"  incidents per fault   {found['incidents_per_fault']}; alerts before the fault "
              f"{found['early_alerts']}")
    if found["n_healthy"]:
        print(f"  incidents per healthy run {found['incidents_per_healthy']} "
              f"({found['healthy_incidents']} of {found['n_healthy']}); alerts per million "
              f"readings {found['alerts_per_million']} ({found['healthy_alerts']} of "
              f"{found['healthy_readings']})")
    if found["busy_alerts"]:
        print(f"  not counted: {found['busy_alerts']} alerts about the pace while other programs "
              "used the machine")
    if found["replay"]["of"]:
        print(f"  the same in replay    {_of(found['replay'])}")


def summarise(results, is_json):
    """Print the figures of each split, and of all."""
    splits = sorted({one["split"] for one in results}, reverse=True)
    for name in splits + (["all"] if len(splits) > 1 else []):
        found = figures([one for one in results if name in ("all", one["split"])])
        if is_json:
            print(json.dumps({"summary": name, **found}))
        else:
            show(name, found)


def list_kinds(cases, is_json):
    for case, _ in cases:
        cause = getattr(case, "cause", "")
        if is_json:
            print(json.dumps({"name": case.name, "split": case.split, "group": case.group,
                              "cause": cause, "kinds": list(case.kinds)}))
        else:
            print(f"{case.name:22} {case.split:5} {case.group:8} {cause}")
