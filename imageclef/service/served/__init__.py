"""What is served: archives, each with its index, pictures, concepts, learners and map."""
