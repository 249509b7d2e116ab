select * from {{ ref('vip') }}
