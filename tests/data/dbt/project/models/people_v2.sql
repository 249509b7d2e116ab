select customer_id, email, plan from {{ ref('customers') }}
