select 7 as customer_id, 'gus@example.com' as email
