select 8 as customer_id, 'hal@example.com' as email
