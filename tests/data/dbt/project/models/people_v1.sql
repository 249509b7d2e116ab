select customer_id, email from {{ ref('customers') }} where customer_id = 1
