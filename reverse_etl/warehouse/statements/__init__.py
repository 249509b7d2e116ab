"""Every SQL statement of this tool, by the step of a run that says it.

``control``    the lease, the pointer, the rows of ``sync_runs``
``snapshot``   the query, evaluated once: identities, duplicates, rows without identifier
``changes``    snapshot against base: the plan
``settle``     outcomes into the log and the failed records
``retention``  what is dropped, and when
``sample``     the first rows of a table, counted for a proposal
"""
