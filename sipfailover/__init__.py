"""sipfailover stands between an office PBX and its carriers, and moves calls when a carrier fails.

The map, from the wire up. Imports point down this list only; a test holds it.

`errors`       every error of ours on one page, named by whose fault it is
`certificate`  whom a certificate is for and until when; PEM files, keys that fit
`flow`         where bytes go and where they came from: Target, Flow, Send          `chance`  the sole user of dice
`secrecy`      no core files
`log`          structlog to standard error, which never makes a call wait
`config`       one YAML file: `model` has every setting with its help, `load` tells all mistakes at once, at their place
`profiles`     what is known of carriers: a data file each, every value with its source and how sure it is
`wire`         SIP as bytes: `message` (a view), `rewrite` and `compose` (bytes again), `fields`, `uri`, `framing`;
               `digest` (challenges and their answers), `wallet` (nonces kept, and when to stop trying), `doorkeeper`
               (the server's side)
`transaction`  RFC 3261 §17 as four tables, `timers` A to M, and the `layer` that finds the transaction of a message
`transport`    UDP, TCP and TLS sockets, names to addresses: the only asyncio for SIP; `tls` (whom we believe, what we
               show), `handshake` (why one failed, in words), `expiry` (certificates that run out)
`trunk`        what is known of a carrier: `health` as a table (`counters`, `questions`), `judgement` (how many calls
               may go wrong), `probe` (OPTIONS, quick checks), `roundtrip` and `setup_time` (the clocks), `talks`
               (calls that die), `recent` (what is usual), `overtaken` (where another was faster), `inbound` (calls that
               come in), `ourselves` (is it us?), `memory` (what of all that outlives the process), `addresses` (which
               edge is used), `registration` as a table (`register` on the wire, `answers` judged, `lease` the
               numbers); `numbers` in their forms, `presentation` (how calls look there), `identity`, `privacy`,
               `diversion`
`routing`      decisions as pure functions: `plan` (who is tried), `verdict` (what an outcome means: the table), `hedge`
               (when two are tried at a time), `best` (what the caller is told), `admission` (who may talk to us),
               `allowance` (how often strangers may), `bans` (who may not at all), `load` (how many calls begin while
               we are late, and whose)
`proxy`        the engine, sans-IO: `engine` receives and hands on, after the first look of `entrance`; `ladder`
               (attempts of one call), `hedging` (a second one beside the first), `inside` (requests in a call),
               `stray` (answers that come too late), `outside` (OPTIONS to us), `watch` (probes, health), `experience`
               (what calls show of a trunk), `blame` (is it us, is it the number?), `registering` (with carriers),
               `keepalive` (empty packets for the NATs), `registrar` (PBXs that register with us), `bindings` (where
               those are); `keepsake`, `underway` and `recollection` (what outlives the process, as records),
               `restoring` and `resuming` (calls again), `rollcall` (are both ends still there?); `reloading` (other
               settings)
`ledger`       the evidence, in SQLite, written by one thread that no call waits for; `journal`, the calls that must
               outlive us
`web`          page, status, metrics and health over HTTP: pure functions of one frozen picture (`proxy.view`)
`simulator`    telephones, carriers and networks in virtual time, with their own SIP; the demo; and rehearsals:
               `scenario` (what goes wrong), `rehearsal` (it is lived through), `rules` (what must hold), `figures`
`preflight`    `check --probe`: asks each carrier step by step (`conversation` is sans-IO, `ask` and `account` are its
               scripts, `call` is a test call by the engine), and says what works and what to do (`judge`, `together`)
`app`          composition: engine, sockets, clock, ledger, page; `serve`, the process around it     `cli`  the verbs
`reloader`     the file read again and put into effect, or refused          `remote`  verbs that ask a running service

How a call goes: `transport` → `engine.receive` → `transaction.layer` → `ladder.invited` → `routing.plan` → an INVITE to
the first trunk, with a clock → what comes back, or does not → `routing.verdict` → relayed, or the next trunk.

Where is …? Timer B: `transaction/invite_client`. Why did it fail over: `routing/verdict`. How long is silence:
`trunk/roundtrip`. When is a trunk Down: `trunk/health`; how many faults are too many: `trunk/judgement`. The OPTIONS
interval: `trunk/probe`, its default in `config/model`. When do we register again: `trunk/lease`. Why may a PBX not
register: `proxy/registrar`. For how long is an address avoided: `trunk/addresses`. How is a name looked up:
`transport/lookup`. Who is shown as the caller: `trunk/identity`. A connection that is open and yet dead:
`proxy/wedged`. What is left after `kill -9`: `proxy/keepsake`. Which answer wins: `routing/best`. A TCP stream cut in
pieces: `wire/framing`. What is stored: `ledger/schema.sql`.
What happens in a flood: `proxy/entrance`, `routing/load`, and before them the kernel by `transport/door`. What has a
bound: `proxy/bounds`, `transport/bounds`.
"""

__version__ = "0.1.0"
