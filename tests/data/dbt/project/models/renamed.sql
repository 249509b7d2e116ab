{{ config(alias='Gold plan', schema='Odd schema', materialized='view') }} select * from {{ ref('vip') }}
