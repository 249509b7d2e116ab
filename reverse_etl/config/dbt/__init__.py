"""What dbt leaves behind: which table a model is, and how its last call ended.

Both files are written into ``target/`` of the dbt project. Nothing of dbt is imported or started.
"""
