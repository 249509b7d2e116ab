"""The rules of a run (design §6.2 to §6.6) as pure functions over tables in memory.

No SQL and no I/O; a table is a dictionary or a tuple, and each function returns new ones.
Whoever wants to know what happens to a refused delete of somebody who returns in upsert mode
reads it here::

    tables      what is kept from run to run
    source      who the query wants: people, not rows
    planning    what is planned for each of them, what stays as residue, the brake
    settling    the commit point, checkpoints, the log and the failed records, recovery
    delivering  batches, the send limit, the confirmed position; what an answer means
    history     seeded histories over these rules, with everything failing
    playing     plays them against a destination in memory, and checks the promises
    agreement   the engine's tables after each run, against these rules

Play many histories by hand::

    python -m reverse_etl.testing.rules --histories 1000000 --jobs 2 --seed 1
"""
