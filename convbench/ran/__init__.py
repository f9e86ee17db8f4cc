"""What did torch really run?"""
