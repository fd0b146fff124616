"""What runs on a worker: accepts attempts, runs each at most once, remembers how it ended.

Standard library only, Python >= 3.8, shipped as one file: a zipapp of sources and bytecode, named
by its SHA-256. The file has three verbs, and they take nothing but a directory:

``connect ROOT``
    bridges its standard input and output to the agent of ROOT, which it starts when none runs;
``bulk ROOT``
    moves bytes into the cache and outputs out of attempts' directories;
``serve ROOT FD``
    is the agent itself; ``connect`` starts it.

Processes
---------
The *agent* is one process for each ROOT (``run/lock``), with one thread. It forks *keepers*, as
many as jobs run at a time. A keeper runs one job after the other, and outlives the agent: it holds
the job's limits, reads its standard output and error, is the parent of all its orphans, and writes
the result into the attempt's directory. A newer build's ``connect`` makes the agent hand over: it
ends, its keepers finish their jobs, and the next agent finds their results.

Below ROOT (0700)::

    agent/DIGEST.pyz           the shipped file
    journal                    what happened; the truth
    attempts/42.7.1/           notes (JSON lines), stdout, stderr, work/, tmp/
    spares/                    directories of small attempts, emptied, to be used again
    cache/ab/abcd...           bytes by SHA-256; emptied when the host restarted
    cache/parts/abcd...        what has come of large files; .PID-START: who adds to it
    bundles/SHA256/            unpacked code       environments/DIGEST/   python environments
    run/                       lock, socket, state, ballast (space for the journal on a full disk)
    trash/                     being deleted

An attempt's directory is claimed by renaming a directory that holds the keeper's identity to its
name, which succeeds once. Identity is pid, start time and boot id.

Protected launches
------------------
A launch with ``seal_to`` (an X25519 public key, base64) is protected. Its inputs may have ``key``
(base64), ``plain_bytes`` and ``tags_sha256``: what the cache holds of them is a Crypt4GH body. Keys
are in the memory of the agent until a keeper has them, and of that keeper until the job has ended;
both hide it from the user's other processes. They are never on a disk, a command line or in an
environment, so an agent that is started anew ends the protected attempts that no keeper had yet.

Plain files of such a job, what it prints included, lie in a directory of their own on a tmpfs
(``attempts/ID/private`` is a link to it), or on the disk where the host has no tmpfs. It is deleted
before the end is told; what a killed keeper left is deleted when its death is noticed. Only
ciphertext remains, in ``attempts/ID/sealed/``.

Emergencies
-----------
A launch of ``rank`` 0 does not wait for slots: once all it needs is there, the agent makes room for
it. It lets the keepers of other attempts stop all their processes (SIGSTOP), or end them when the
host's memory is too small for those and the new one together. When there is room again the
suspended go on (SIGCONT) before anything else starts. Only an agent keeps attempts suspended: a
keeper whose agent is gone lets its job go on, and an agent that starts lets all go on. A keeper of
an earlier agent takes SIGUSR1, SIGUSR2 and SIGTERM for suspend, resume and cancel.

Journal
-------
One JSON object a line. A record is flushed to disk before anybody is told of it; several share one
flush. Offsets are bytes. A torn last line is cut when the agent starts. The first record is
``{"event": "journal", "agent_id": ...}``; all others have ``attempt``, ``event``, ``time_s``:

``accepted``
    the agent has it durably (``launch``: the whole order, not shown to followers; of a protected
    one its attempt, slots and rank);
``started``
    its program runs (``started_s``); of a short one only ``done`` says so;
``suspended``
    all its processes stand still, and its slots are an emergency's;
``resumed``
    they go on;
``done``
    it ended: ``cause`` (`medgrid.model.Cause`), ``message``, ``exit_code``, ``outputs``,
    ``stdout_tail``, ``stderr_tail``, ``started_s``, ``ended_s``, ``max_rss_bytes``, ``cpu_s``.
    Of a protected attempt ``sealed_tails`` (base64) instead of the tails, and of its outputs also
    ``header``, ``sealed_digest`` (base64), ``tags_sha256`` and ``body_bytes``.

Every accepted attempt gets exactly one ``done``; a cancelled one that was never accepted too.

Conversation
------------
JSON lines both ways. The agent begins with ``{"medgrid": PROTOCOL}``. A request has ``id`` and
``op``; its reply has the same ``id``, and ``error`` (``kind``, ``message``) when it failed. Replies
may come in another order. Kinds: ``bad-request bad-offset no-space failed``.

=========  ====================================  ===============================================
op         request                               reply
=========  ====================================  ===============================================
hello      ``slots``, ``memory_bytes`` or null,  ``info``
           ``cache_bytes``
ping                                             (nothing)
missing    ``digests``, ``sizes``                ``missing``, ``near`` (digest: path)
launch     ``launches``                          ``offset``; they are durable
follow     ``offset``, ``timeout_s``             ``records``, each with its ``offset``
cancel     ``attempts``                          (nothing)
clean      ``attempts``                          (nothing)
peek       ``attempt stream offset limit``       ``data`` (latin-1), ``ended``
probe      ``programs``                          ``found``
=========  ====================================  ===============================================

What a client has asked ``missing`` of stays in the cache until it launches with it, or leaves.
``near`` are files that another agent of the same user has on the host.

A launch is `medgrid.workers.base.Launch` as an object, fields that are empty left out.

Bulk
----
JSON lines, some followed by as many raw bytes as they announce. ``{"wait": true}`` comes before an
answer that takes its time:

==================================================  ==========================================
request                                             reply
==================================================  ==========================================
``{"op": "put", "sha256", "size_bytes"}`` + bytes   (none)
``{"op": "resume", "sha256", "size_bytes"}``        ``{"offset"}``; then the bytes from there
``{"op": "take", "sha256", "size_bytes", "path"}``  (none; the bytes lie on the host)
``{"op": "fetch", "source", "files"}``               ``{"problems", "is_out_of_reach"}``
``{"op": "flush"}``                                 ``{"problems": [{kind, sha256, message}]}``
``{"op": "get", "attempt", "path", "offset"}``      ``{"size_bytes"}`` + bytes, or ``{"error"}``
==================================================  ==========================================
"""

PROTOCOL = 1
