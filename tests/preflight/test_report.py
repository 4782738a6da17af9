"""What programs get."""

import json

from sipfailover.preflight.report import Section, as_json, failed, good, skipped


def test_one_object_with_every_step() -> None:
    here, main, backup = Section("this machine"), Section("main (udp x)", "main"), Section("backup", "backup")
    here.steps.append(good("listen", "free"))
    main.steps.append(good("OPTIONS", "200 OK", 0.012345, status=200, addresses=["a"]))
    backup.steps += [failed("name", "unknown", "mend it", questions=[]), skipped("REGISTER", "not tried")]
    told = as_json([here, main, backup])
    assert json.loads(json.dumps(told)) == {
        "good": False,
        "general": [{"step": "listen", "result": "good", "text": "free"}],
        "trunks": [
            {
                "name": "main",
                "good": True,
                "steps": [
                    {
                        "step": "OPTIONS",
                        "result": "good",
                        "text": "200 OK",
                        "seconds": 0.0123,
                        "facts": {"status": 200, "addresses": ["a"]},
                    }
                ],
            },
            {
                "name": "backup",
                "good": False,
                "steps": [
                    {
                        "step": "name",
                        "result": "failed",
                        "text": "unknown",
                        "advice": "mend it",
                        "facts": {"questions": []},
                    },
                    {"step": "REGISTER", "result": "skipped", "text": "not tried"},
                ],
            },
        ],
    }
